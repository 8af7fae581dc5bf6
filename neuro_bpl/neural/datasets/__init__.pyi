from . import deverett2018, golub2018, hanks2015, nguyen2023

__all__ = ["deverett2018", "golub2018", "hanks2015", "nguyen2023"]
