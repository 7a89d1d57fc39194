"""The page itself, with Gradio: an upload goes in, and what `view` draws of it comes out.

No file is ever sent to a browser: pictures and tables are parts of the page. So the routes that
would read files, or fetch addresses, for whoever asks are closed, and the browser is told to load
nothing from elsewhere.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from au_jax import html
from au_jax.aus import MEANING
from au_jax.errors import UserError
from au_jax.predict.model import Model
from au_jax.serve import view
from au_jax.serve.look import look
from au_jax.serve.seen import Seen
from au_jax.serve.upload import Limits

_HOUR = 3600
_FACES = 12  # that can be chosen from; a video may have many short tracks
_SESSIONS = 20  # whose pictures are in memory at once
_CLOSED = ("/file", "/proxy=", "/stream", "/deep_link", "/runs")
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; "
    "form-action 'self'; base-uri 'self'"
)
_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "DejaVu Sans Mono", "monospace")


class Guard:
    """Closes the routes to files and other servers, and forbids pages to load from elsewhere."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", _POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].lower().removeprefix("/gradio_api").startswith(_CLOSED):
            await PlainTextResponse("closed", 403)(scope, receive, with_policy)
        else:
            await self._app(scope, receive, with_policy)


def build(model: Model, head: str, limits: Limits) -> gr.Blocks:
    """The page of a model.

    Args:
      head: HTML at the top, see `about`.
    """
    own = [float(threshold) for threshold in model.selection.thresholds]

    def drawn(seen: Seen, image: int, face: int, thresholds: Sequence[float]) -> list[str]:
        """The parts of the page that follow from what is chosen, as `shown` orders them."""
        return [
            view.picture(seen, image, face),
            view.bars(seen, image, face, thresholds),
            view.curves(seen, image, face, thresholds),
        ]

    def looked(path: str | None, *thresholds: float, progress: Any) -> list[Any]:
        """Looks at an upload and deletes it; the outputs are `everything`."""
        if path is None:
            return [gr.skip()] * len(everything)

        def tell(done: int, total: int) -> None:
            progress((done, total), desc="Looking at the images", unit="images")

        try:
            seen = look(model, Path(path), limits, tell)
        except UserError as error:
            hidden = gr.update(visible=False)
            return [None, None, None, view.notice(str(error)), "", "", "", "", hidden, hidden]
        finally:
            Path(path).unlink(missing_ok=True)
        faces = list(seen.faces)
        face = faces[0] if faces else -1
        choices = [(_face_label(seen, number), number) for number in faces[:_FACES]]
        last = seen.images[-1].origin.frame
        frame_label = f"Frame (every {seen.every}th was looked at)" if seen.every > 1 else "Frame"
        return [
            None,
            None,
            seen,
            view.notice(seen.remark),
            *drawn(seen, 0, face, thresholds),
            view.table_link(seen, thresholds),
            gr.update(choices=choices, value=face if faces else None, visible=len(faces) > 1),
            gr.update(
                value=0,
                maximum=max(last, 1),
                step=seen.every,
                label=frame_label,
                visible=len(seen.images) > 1,
            ),
        ]

    def upload(path: str | None, *thresholds: float, progress=gr.Progress()) -> list[Any]:  # noqa: B008
        return looked(path, *thresholds, progress=progress)

    def redrawn(
        seen: Seen | None, face: int | None, frame: float, *thresholds: float
    ) -> Sequence[Any]:
        """`shown` with another face or frame."""
        if seen is None:
            return [gr.skip()] * len(shown)
        image = min(round(frame) // seen.every, len(seen.images) - 1)
        return drawn(seen, image, -1 if face is None else face, thresholds)

    def decided(
        seen: Seen | None, face: int | None, frame: float, *thresholds: float
    ) -> Sequence[Any]:
        """`shown` and the table with other thresholds."""
        if seen is None:
            return [gr.skip()] * (len(shown) + 1)
        return [*redrawn(seen, face, frame, *thresholds), view.table_link(seen, thresholds)]

    def put_back(seen: Seen | None, face: int | None, frame: float) -> list[Any]:
        return [*own, *decided(seen, face, frame, *own)]

    with gr.Blocks(
        title="Action units of faces", analytics_enabled=False, delete_cache=(60, _HOUR)
    ) as page:
        gr.HTML(head)
        seen = gr.State(None, time_to_live=_HOUR)
        with gr.Row():
            with gr.Column(min_width=320):
                with gr.Tab("Picture or video"):
                    file = gr.File(label="A picture or a video", height=140)
                with gr.Tab("Camera"):
                    # In any other mode Gradio makes a copy and hides where the upload lies.
                    camera = gr.Image(
                        sources=["webcam"],
                        type="filepath",
                        image_mode=None,
                        label="A picture of the camera",
                    )
                notice = gr.HTML()
                picture = gr.HTML()
                frame = gr.Slider(0, 1, 0, step=1, label="Frame", visible=False)
                face = gr.Radio([], label="Face", visible=False)
                table = gr.HTML()
            with gr.Column(min_width=320):
                bars = gr.HTML()
                with gr.Accordion("Thresholds", open=False):
                    back = gr.Button("Back to those of the run", size="sm")
                    with gr.Row(elem_classes="thresholds"):
                        thresholds = [
                            gr.Slider(
                                0, 1, value, step=0.001, label=f"{au} {MEANING[au]}", min_width=150
                            )
                            for au, value in zip(model.aus, own, strict=True)
                        ]
        curves = gr.HTML()
        shown = [picture, bars, curves]
        everything = [file, camera, seen, notice, *shown, table, face, frame]
        chosen = [seen, face, frame]
        # What Gradio calls private is not offered to other programs, nor listed.
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        for source, event in ((file, file.upload), (camera, camera.input)):
            event(
                upload,
                [source, *thresholds],
                everything,
                api_visibility="private",
                show_progress_on=[notice],
                concurrency_id="networks",
                concurrency_limit=1,
            )
        for event in (face.input, frame.input):
            event(redrawn, [*chosen, *thresholds], shown, trigger_mode="always_last", **quiet)
        gr.on(
            [threshold.input for threshold in thresholds],
            decided,
            [*chosen, *thresholds],
            [*shown, table],
            trigger_mode="always_last",
            **quiet,
        )
        back.click(put_back, chosen, [*thresholds, *shown, table], **quiet)
    return page.queue(max_size=_SESSIONS)


def _face_label(seen: Seen, number: int) -> str:
    return f"{number} ({seen.faces[number]} frames)" if seen.moving else str(number)


def start(page: gr.Blocks, host: str, port: int, limits: Limits) -> None:
    """Opens the page to browsers, in threads of its own."""
    page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        show_error=False,
        allowed_paths=[],
        max_file_size=limits.video_bytes,
        state_session_capacity=_SESSIONS,
        app_kwargs={"middleware": [Middleware(Guard)], "openapi_url": None},
        theme=gr.themes.Default(primary_hue="blue", font=_FONT, font_mono=_MONO),
        css=html.render("serve/page.css"),
    )
