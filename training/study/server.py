"""The web page of a study: serves one study to raters' browsers and keeps their answers; knows no method by name.

Flask and waitress rather than the standard library's http.server: that one is documented as unfit for anything but
trust, while a study may be opened to a network. Both are small and long kept; waitress bounds requests, connections
and slow clients, and neither writes an access log.
"""

from __future__ import annotations

import json
import logging
import secrets
import socket
from collections.abc import Callable
from importlib import resources
from typing import Any

from flask import Blueprint, Flask, Response, abort, g, render_template, request, url_for
from waitress.server import create_server
from werkzeug.exceptions import HTTPException

from engine.errors import ColorizeError
from training.study.store import CODE, LETTERS, Session, Shown, Store

LANGUAGES = ("en", "fr")
MAX_BODY = 2048
"""Bytes of a form; the longest has a dozen."""
MAX_HEAD = 16_384
"""Bytes of a request's head."""
SLOW = 30
"""Seconds after which a silent connection is closed."""
THREADS, CONNECTIONS = 8, 200
ASSETS = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers send forms with a null Origin
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}


def texts(language: str) -> dict[str, str]:
    """All texts of the page in one of ``LANGUAGES``."""
    found: dict[str, str] = json.loads(_page(f"{language}.json"))
    return found


def make_app(store: Store) -> Flask:
    """Build the WSGI application of a study; everything lies under its token."""
    app = Flask(__name__, static_folder=None, template_folder="pages")
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY, PROPAGATE_EXCEPTIONS=False)
    words = {language: texts(language) for language in LANGUAGES}
    assets = {name: _page(name) for name in ASSETS}
    routes = Blueprint("study", __name__, url_prefix=f"/{store.token}")

    def page(name: str, language: str, status: int = 200, **values: Any) -> Response:
        text = words[language]
        values = {"t": text, "lang": language, "code": None, "title": store.title or text["title"]} | values
        return Response(render_template(name, **values), status)

    def session_of(language: str, code: str) -> Session:
        g.language = _known(language)
        session = store.session(code)
        return session or abort(404)

    @app.before_request
    def same_site() -> None:
        """Refuse forms that another site's page sends; it would have to know the token and a code as well."""
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        own = site in ("same-origin", "none") if site else origin in (None, request.host_url.rstrip("/"))
        if request.method == "POST" and not own:
            abort(403)

    @app.after_request
    def shut(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        # Whoever lacks the token learns nothing, not even that this is a study.
        known = secrets.compare_digest(request.path.split("/")[1].encode(), store.token.encode())
        if not known or error.code is None:
            return Response("not found" if not known else "", 404 if not known else 500, content_type="text/plain")
        message = "missing" if error.code in (404, 405) else "refused"
        return page("message.html", _language(), error.code, message=words[_language()][message])

    @app.errorhandler(ColorizeError)
    def not_kept(_: ColorizeError) -> Response:
        return page("message.html", _language(), 503, message=words[_language()]["not_kept"])

    @routes.get("/")
    def door() -> Response:
        return _go("study.start", language=_language())

    @routes.get("/<any('page.css','page.js','icon.svg'):name>")
    def asset(name: str) -> Response:
        return Response(assets[name], content_type=f"{ASSETS[name]}; charset=utf-8")

    @routes.get("/picture/<name>")
    def picture(name: str) -> Response:
        data = store.picture(name)
        if data is None:
            abort(404)
        return Response(data, content_type="image/webp", headers={"Cache-Control": "private, max-age=86400"})

    @routes.get("/<language>/")
    def start(language: str) -> Response:
        g.language = _known(language)
        return page("start.html", language, design=store.design, counts=_counts(store))

    @routes.post("/<language>/begin")
    def begin(language: str) -> Response:
        g.language = _known(language)
        return _go("study.current", language=language, code=store.begin())

    @routes.post("/<language>/resume")
    def resume(language: str) -> Response:
        g.language = _known(language)
        code = "".join(c for c in request.form.get("code", "").upper() if c in LETTERS)
        if len(code) != CODE or store.session(code) is None:
            text = words[language]["no_code"]
            return page("start.html", language, 404, design=store.design, counts=_counts(store), wrong=text)
        return _go("study.current", language=language, code=code)

    @routes.get("/<language>/<code>/")
    def current(language: str, code: str) -> Response:
        session = session_of(language, code)
        if session.next == session.total:
            return page("end.html", language, code=code, session=session)
        return _go("study.task", language=language, code=code, position=session.next)

    @routes.get("/<language>/<code>/<int:position>")
    def task(language: str, code: str, position: int) -> Response:
        session = session_of(language, code)
        shown = _shown(store, session, position)
        return page("task.html", language, code=code, session=session, position=position, shown=shown)

    @routes.post("/<language>/<code>/<int:position>")
    def answer(language: str, code: str, position: int) -> Response:
        session = session_of(language, code)
        shown = _shown(store, session, position)
        value = request.form.get("value", "")
        if value not in map(str, shown.values):
            abort(400)
        store.answer(session, position, int(value))
        return _go("study.current", language=language, code=code)

    app.register_blueprint(routes)
    return app


def serve(store: Store, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve a study until the process is told to end (KeyboardInterrupt, SystemExit).

    Args:
        store: the study.
        host: address to listen on.
        port: 0 for any free one.
        ready: called with the page's address once it can be opened.

    Raises:
        ColorizeError: the address cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
    except OSError as e:
        raise ColorizeError(f"cannot listen on {host}, port {port}: {e}", "choose another --port or --host") from e
    # It would warn on the terminal each time a request has to wait for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = create_server(
        make_app(store),
        sockets=[listening],
        threads=THREADS,
        connection_limit=CONNECTIONS,
        channel_timeout=SLOW,
        max_request_body_size=2 * MAX_BODY,
        max_request_header_size=MAX_HEAD,
        ident=None,
    )
    try:
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{listening.getsockname()[1]}/{store.token}/")
        server.run()
    finally:
        server.close()


def _page(name: str) -> str:
    return (resources.files("training.study") / "pages" / name).read_text("utf-8")


def _known(language: str) -> str:
    return language if language in LANGUAGES else abort(404)


def _language() -> str:
    """Of the address if it names one, else what the browser asks for; not kept."""
    chosen: str = g.get("language") or request.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]
    return chosen


def _shown(store: Store, session: Session, position: int) -> Shown:
    return store.task(session, position) or abort(404)


def _counts(store: Store) -> dict[str, int]:
    """How many ratings and how many choices a rater is asked for."""
    design = store.design
    pairs = design.each * (design.methods if design.methods > 2 else 1)
    return {
        "ratings": design.each * design.methods if design.mode != "pairs" else 0,
        "pairs": pairs if design.mode != "ratings" else 0,
    }


def _go(endpoint: str, **values: Any) -> Response:
    return Response(status=303, headers={"Location": url_for(endpoint, **values)})
