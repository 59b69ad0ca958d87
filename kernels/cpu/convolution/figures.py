"""What each of the counts of a way of a convolution takes, in picoseconds, by LANES.

`Counts` in choice.py says what is counted: multiplications, tiles begun, and numbers moved, turned
and prepared. `python -m benchmarks.ways --fit` writes the figures of a width of vectors.
"""

Figures = dict[str, tuple[float, ...]]  # of each file, the figure of each count

FIGURES: dict[int, Figures] = {
    16: {
        "direct": (13.1, 111000.0, 190.0, 419.0, 980.0),
        "direct_columns": (36.7, 10200.0, 305.0, 812.0, 1620.0),
        "direct_weights": (12.0, 4790.0, 691.0, 774.0, 328.0),
        "dot_products": (12.6, 10100.0, 151.0, 403.0, 807.0),
        "images_in_lanes": (13.7, 68600.0, 165.0, 463.0, 154.0),
        "winograd/lines": (16.2, 39100.0, 290.0, 670.0, 704.0),
        "winograd/lines_gradient": (19.1, 7640.0, 241.0, 741.0, 732.0),
        "winograd/images": (14.5, 5800.0, 174.0, 487.0, 1240.0),
        "winograd/channels": (12.3, 12300.0, 101.0, 973.0, 889.0),
    },
    8: {
        "direct": (24.4, 0.0, 65.8, 380.0, 0.0),
        "direct_columns": (24.4, 0.0, 720.0, 0.0, 0.0),
        "direct_weights": (26.0, 25.0, 0.0, 0.0, 0.0),
        "dot_products": (42.5, 12500.0, 611.0, 498.0, 997.0),
        "images_in_lanes": (26.5, 13.8, 150.0, 606.0, 0.495),
        "winograd/lines": (23.8, 0.0, 366.0, 400.0, 948.0),
        "winograd/lines_gradient": (22.4, 0.0, 539.0, 264.0, 810.0),
        "winograd/images": (26.5, 248.0, 204.0, 510.0, 1050.0),
        "winograd/channels": (36.6, 139.0, 83.7, 622.0, 940.0),
    },
    4: {
        "direct": (24.4, 0.0, 65.8, 380.0, 0.0),
        "direct_columns": (24.4, 0.0, 720.0, 0.0, 0.0),
        "direct_weights": (26.0, 25.0, 0.0, 0.0, 0.0),
        "dot_products": (42.5, 12500.0, 611.0, 498.0, 997.0),
        "images_in_lanes": (26.5, 13.8, 150.0, 606.0, 0.495),
        "winograd/lines": (23.8, 0.0, 366.0, 400.0, 948.0),
        "winograd/lines_gradient": (22.4, 0.0, 539.0, 264.0, 810.0),
        "winograd/images": (26.5, 248.0, 204.0, 510.0, 1050.0),
        "winograd/channels": (36.6, 139.0, 83.7, 622.0, 940.0),
    },
}
