"use strict";
// The data of the page: JSON, which gzip has packed, in base64.

async function unpack() {
  const packed = byId("data").textContent;
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return await new Response(stream).json();
}

// Unpack, then `start` with the data; a browser that cannot gets one sentence.
function whenUnpacked(start) {
  const wait = byId("wait");
  if (typeof DecompressionStream === "undefined") {
    wait.textContent = byId("no-way").textContent;
    wait.className = "notice";
    return;
  }
  unpack().then((data) => {
    wait.remove();
    start(data);
  });
}
