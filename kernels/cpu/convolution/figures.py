"""What each of the counts of a way of a convolution takes, in picoseconds, by LANES.

`Counts` in choice.py says what is counted: multiplications, tiles begun, and numbers moved, turned
and prepared. `python -m benchmarks.ways --fit` writes the figures of a width of vectors.
"""

Figures = dict[str, tuple[float, ...]]  # of each file, the figure of each count

FIGURES: dict[int, Figures] = {
    16: {
        "direct": (14.5, 144000.0, 190.0, 466.0, 1140.0),
        "direct_columns": (37.0, 10300.0, 308.0, 819.0, 1800.0),
        "direct_weights": (14.1, 6950.0, 1130.0, 1400.0, 1190.0),
        "dot_products": (13.8, 11000.0, 165.0, 440.0, 881.0),
        "images_in_lanes": (16.8, 96700.0, 192.0, 539.0, 179.0),
        "winograd/lines": (9.88, 65600.0, 389.0, 741.0, 589.0),
        "winograd/lines_gradient": (20.1, 5840.0, 245.0, 927.0, 969.0),
        "winograd/images": (16.9, 3380.0, 173.0, 874.0, 361.0),
        "winograd/channels": (7.05, 15500.0, 127.0, 1120.0, 970.0),
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
