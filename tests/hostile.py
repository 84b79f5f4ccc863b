"""A folder that somebody has filled for whoever starts a program in it."""

from pathlib import Path

CONFIG = """
[server]
address = "0.0.0.0"
enableCORS = false
enableXsrfProtection = false
allowedHosts = ["*"]
corsAllowedOrigins = ["http://evil.example"]
enableStaticServing = true
enableAgentApi = true
baseUrlPath = "elsewhere"
trustedUserHeaders = "{'X-User': 'name'}"
[browser]
gatherUsageStats = true
[client]
showErrorDetails = "full"
[global]
developmentMode = true
[secrets]
files = ["secrets.toml"]
[theme]
primaryColor = "#ff0000"
"""


def hostile(folder: Path) -> Path:
    """A folder full of what might steer a program; `ran` is there once something of it ran."""
    folder.mkdir()
    ran = folder / "ran"
    code = f"open({str(ran)!r}, 'a').write(__file__ + chr(10))\n"
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "config.toml").write_text(CONFIG)
    for name in (".streamlit/secrets.toml", "secrets.toml"):
        (folder / name).write_text(
            f'PYTHONPATH = "{folder}"\nLIKENESS_HOME = "{folder}"\nPYTHONSTARTUP = "x.py"\n'
            'LIKENESS_BEHIND = "http://evil.example"\n[auth]\ncookie_secret = "x"\n'
        )
    (folder / ".env").write_text(f"PYTHONPATH={folder}\nLIKENESS_HOME={folder}\n")
    for name in ("sitecustomize", "usercustomize", "app", "streamlit", "ui", "data", "torch",
                 "PIL", "uvicorn", "starlette", "numpy", "recognition", "tomllib",
                 "multiprocessing", "pickle", "json", "scipy", "faiss"):  # fmt: skip
        (folder / f"{name}.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p sitecustomize\n")
    (folder / "matplotlibrc").write_text("backend: module://app\ntext.usetex: True\n")
    (folder / "setup.cfg").write_text("[tool:pytest]\naddopts = -p sitecustomize\n")
    (folder / "static").mkdir()
    (folder / "static" / "x.txt").write_text("x")
    return folder
