"""The page that ``dvc plots`` fills: it carries its scripts, so that it opens where there is no network."""

from __future__ import annotations

from pathlib import Path

from pindet.files import write_text
from pindet.project import SCRATCH

PAGE = SCRATCH / "plots.html"

_HTML = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>pindet: plots</title>
{refresh_tag}
<style>
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; margin: 2rem; }
table { border-spacing: 15px; }
img { max-width: 100%; }
</style>
<script>
(() => {
SCRIPTS
})();
</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def write_plots_page(root: Path) -> Path:
    """Write the page into ``.pindet/`` of the project and name it in the git-ignored ``.dvc/config.local``.

    Vega's scripts come from the installed ``vl-convert-python``; they are too large to be kept in git.
    """
    import vl_convert
    from dvc.config import Config

    page = root / PAGE
    # A closing tag inside a script would end it.
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub lacks the default
    scripts = bundle.replace("</script", "<\\/script")
    write_text(page, _HTML.replace("SCRIPTS", scripts))
    with Config(str(root / ".dvc"), validate=False).edit("local") as config:
        config.setdefault("plots", {})["html_template"] = f"../{PAGE.as_posix()}"
    return page
