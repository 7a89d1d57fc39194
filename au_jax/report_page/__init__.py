"""report/index.html: a run explained to a reader who has not read the paper."""

from au_jax.report_page.page import write

__all__ = ["write"]
