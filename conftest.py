"""What docstring examples may take for granted: `pn`, and a seed."""

import pytest


@pytest.fixture(autouse=True)
def _doctest_names(request: pytest.FixtureRequest) -> None:
    """Let `>>>` examples in docstrings start from `import pyneuro as pn`, seeded."""
    if request.node.__class__.__name__ == "DoctestItem":
        import pyneuro as pn

        pn.manual_seed(0)
        request.getfixturevalue("doctest_namespace")["pn"] = pn
