"""Messages: the schema, prototxt text, upgrades of old formats, files."""
