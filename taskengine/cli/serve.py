"""`acr-task serve`: the service in one command."""

from __future__ import annotations

import click

from taskengine.cli.base import FOLDER, PATH, Command, Option


@click.command(
    cls=Command,
    examples=[
        ("acr-task serve", "on this machine's port 8080, with a worker and SQLite"),
        ("acr-task serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem", "for others, encrypted"),
        ("acr-task serve --no-worker", "workers are elsewhere: acr-task worker"),
    ],
)
@click.option("--host", cls=Option, default="127.0.0.1", metavar="ADDRESS", help="Where to listen (127.0.0.1).")
@click.option("--port", cls=Option, type=click.IntRange(0, 65535), default=8080, help="The port (8080; 0: a free one).")
@click.option("--data", cls=Option, type=FOLDER, metavar="DIR", default="", help="The service's data folder.")
@click.option(
    "-r", "--registry", cls=Option, default="", metavar="HOST[:PORT]", help="The registry of tasks ($Registry)."
)
@click.option(
    "--public-url", cls=Option, default="", metavar="URL", help="Where forges and people reach it (https://HOST)."
)
@click.option("--no-worker", cls=Option, is_flag=True, help="Carry out no runs here.")
@click.option("--capacity", cls=Option, type=click.IntRange(1, 256), default=2, help="The most runs at once here (2).")
@click.option("--tls-cert", cls=Option, type=PATH, default="", metavar="FILE", help="The certificate, PEM.")
@click.option("--tls-key", cls=Option, type=PATH, default="", metavar="FILE", help="Its key, PEM.")
@click.option(
    "--log-format",
    cls=Option,
    type=click.Choice(["text", "json"]),
    default="text",
    help="The form of the service's own log.",
)
@click.option(
    "--grace",
    cls=Option,
    type=click.IntRange(0),
    default=None,
    metavar="SECONDS",
    help="How long SIGTERM waits for what runs.",
)
def serve(
    host: str,
    port: int,
    data: str,
    registry: str,
    public_url: str,
    no_worker: bool,
    capacity: int,
    tls_cert: str,
    tls_key: str,
    log_format: str,
    grace: int | None,
) -> int:
    """Store tasks, queue runs and carry them out: API and worker in one process, in the foreground.

    The database is SQLite in the data folder, or what ACR_TASK_DATABASE_URL names. The first start shows an admin
    token, once, unless ACR_TASK_ADMIN_TOKEN gives one. SIGTERM drains: no run is given out any more, what runs may end
    within the grace, and what still runs then goes on by itself until the next start goes on with it.
    """
    from pathlib import Path

    from taskengine import wiring
    from taskengine.givensecret import given_secret
    from taskengine.service.logline import set_up, teller
    from taskengine.serving import ServeOptions
    from taskengine.serving import serve as begin

    using = wiring.settings()
    environ = using.environ
    options = ServeOptions(
        host=host,
        port=port,
        data=Path(data).absolute() if data else using.data_dir / "service",
        database=given_secret(environ, "ACR_TASK_DATABASE_URL"),
        registry=registry,
        public_url=public_url,
        capacity=0 if no_worker else capacity,
        tls_cert=tls_cert,
        tls_key=tls_key,
        admin_token=given_secret(environ, "ACR_TASK_ADMIN_TOKEN"),
        settings_file=environ.get("ACR_TASK_SERVER_SETTINGS", ""),
        grace=grace,
    )
    set_up(log_format)
    return begin(options, using, teller(log_format))
