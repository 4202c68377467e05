"""Judge edited clips of the demo world: the full method beside its ablations, from three starts.

python tools/judge_demo_edits.py                       # every row on 16 clips x 4 edits x 2 seeds; prints the tables
python tools/judge_demo_edits.py --rows full per-frame --clips 4 --seeds 1 --steps 60 --guidance 4
python tools/judge_demo_edits.py --rows full --steps 480 --starts noise --work outputs/judged-480

Every clip is learned, inverted and rendered with four captions: another figure (subject), another place (background), a
shirt (attribute) and a style; once from the inverted clip, which is all that decides that video, and with every seed
from the clip with new noise in it ("mix") and from noise. The videos are kept in --work, and a second start goes on
from there; two processes on the same folder share the work. A picture per clip shows what each row made of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import TypeVar

import torch
from einops import rearrange
from judged_tables import tables
from safetensors.torch import load_file, save_file
from torch import Tensor

import tav_core
from tav_core import Pipeline
from tav_core.demo.clips import draw_clip
from tav_core.demo.demo import FRAMES, MODEL, VARIATION, demo_config
from tav_core.demo.figures import FIGURES, VERBS
from tav_core.demo.judge import compare
from tav_core.demo.pen import STYLES
from tav_core.demo.places import PLACES
from tav_core.demo.world import COLOURS, Words, random_scene
from tav_core.experiments.ablation_rows import ROWS, Row, choose_rows
from tav_core.files import replacing
from tav_core.pictures.contact_sheet import contact_sheet
from tav_core.pictures.image import to_uint8
from tav_core.scoring.motion import motion_fidelity

EDITS = ("subject", "background", "attribute", "style")
NEW_NOISE = {"inverted": 0.0, "mix": VARIATION, "noise": 1.0}
"""By start: the share of new noise in the clip's."""
STARTS = tuple(NEW_NOISE)
Option = TypeVar("Option")


@dataclass(frozen=True)
class Clip:
    """A drawn clip, and the words of its four edits."""

    words: Words
    seed: int
    edits: dict[str, Words]

    @property
    def frames(self) -> Tensor:
        """Return [f, 96, 96, 3] in 0..1."""
        return draw_clip(self.words, FRAMES, self.seed)


def clips(number: int) -> Iterator[Clip]:
    """Choose clips of different figures, verbs and places, in no style; neither they nor their edits were held out."""
    generator = torch.Generator().manual_seed(2212)

    def choice(options: Sequence[Option]) -> Option:
        return options[int(torch.randint(len(options), (), generator=generator))]

    def other(words: Words, field: str, options: Sequence[str]) -> Words:
        allowed = [replace(words, **{field: option}) for option in options if option != getattr(words, field)]
        return choice([w for w in allowed if not w.held_out])

    for i in range(number):
        allowed = [Words(FIGURES[i % len(FIGURES)], verb, place) for verb in VERBS for place in PLACES]
        words = choice([w for w in allowed if not w.held_out])
        seed = 100 + i
        worn = random_scene(words, seed).shirt
        edits = {
            "subject": other(words, "figure", FIGURES),
            "background": other(words, "place", list(PLACES)),
            "attribute": other(words, "clothes", [c for c in COLOURS if c != worn]),
            "style": other(words, "style", STYLES),
        }
        yield Clip(words, seed, edits)


class Renderer:
    """Renders the edits of clips by a row's way.

    args: steps and learning rate of tuning, steps and guidance of sampling.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.pipeline = args, Pipeline.load(args.model, "cpu")
        self.contexts: dict[str, Tensor] = {}

    def context(self, captions: list[str]) -> Tensor:
        new = [c for c in captions if c not in self.contexts]
        self.contexts.update(zip(new, self.pipeline.encode_prompts(new)))
        return torch.cat([self.contexts[c] for c in captions])

    def __call__(self, clip: Clip, row: Row) -> dict[str, Tensor]:
        """Return uint8 [f, 96, 96, 3] by "seed/start/edit"."""
        args, pipeline = self.args, self.pipeline
        latents = pipeline.encode_video(clip.frames)
        alone = row.attention == "spatial" and not row.tuned  # the checkpoint as it is, with its own norms
        video_unet = pipeline.inflate(
            attention=row.attention, temporal_attention=row.temporal_attention, joint_norm=not alone
        )
        try:
            if row.tuned:
                settings = tav_core.TuneSettings(
                    steps=args.steps, learning_rate=args.learning_rate, gradient_checkpointing=False, seed=clip.seed
                )
                tav_core.tune(video_unet, pipeline.schedule, latents, self.context([clip.words.caption]), settings)
            videos = {}
            for seed in range(args.seeds):
                starts = [name for name in args.starts if NEW_NOISE[name] or seed == 0]
                rendered = self.render(video_unet, clip, latents, seed, starts)
                videos |= {f"{seed}/{name}": video for name, video in rendered.items()}
            return videos
        finally:
            video_unet.deflate()

    def render(
        self,
        video_unet: tav_core.VideoUNet,
        clip: Clip,
        latents: Tensor,
        seed: int,
        starts: Sequence[str] = STARTS,
    ) -> dict[str, Tensor]:
        """Return uint8 [f, 96, 96, 3] by "start/edit", rendered with a network tuned on the clip, or not tuned."""
        args, pipeline, nothing = self.args, self.pipeline, self.context([""])
        captions = self.context([words.caption for words in clip.edits.values()])
        inverted = tav_core.ddim_invert(video_unet, pipeline.schedule, latents, nothing, args.sampling_steps)[-1]
        videos = {}
        for name in starts:
            start = tav_core.vary(inverted, NEW_NOISE[name], seed).expand(len(captions), -1, -1, -1, -1)
            rendered = tav_core.ddim_sample(
                video_unet, pipeline.schedule, start, captions, nothing, args.sampling_steps, args.guidance
            )
            frames = pipeline.decode_video(rearrange(rendered, "b c f h w -> 1 c (b f) h w"))
            frames = torch.from_numpy(to_uint8(frames))
            for edit, video in zip(clip.edits, rearrange(frames, "(b f) h w c -> b f h w c", f=FRAMES)):
                videos[f"{name}/{edit}"] = video.contiguous()
        return videos


def judged(videos: dict[str, Tensor], clip: Clip) -> Iterator[dict]:
    """Return the figures of every video."""
    for name, video in videos.items():
        *_, start, edit = name.split("/")
        video = video / 255
        figures = asdict(compare(video, clip.frames, clip.edits[edit], clip.words))
        figures["motion_fidelity"] = motion_fidelity(clip.frames, video)
        yield {"start": start, "edit": edit} | figures


@contextmanager
def claimed(file: Path) -> Iterator[Path | None]:
    """Yield where to write a result, moved to ``file`` in the end; None when it is done or another process is at it."""
    taken = file.with_suffix(".taken")
    try:
        taken.touch(exist_ok=False)
    except FileExistsError:
        yield None
        return
    try:
        with replacing(file) as partial:
            yield partial
    except BaseException:
        taken.unlink()
        raise
    print(file.name, flush=True)


def render_all(args: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Render what nobody has taken yet."""
    renderer = Renderer(args)
    for (i, clip), row in product(enumerate(clips(args.clips)), rows):
        with claimed(video_file(args, row, i)) as partial:
            if partial:
                save_file(renderer(clip, row), partial)


def keep_settings(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Note what the results in the folder are made with; raise ValueError when others there were made otherwise."""
    settings, file = {name: str(getattr(args, name)) for name in names}, args.work / "settings.json"
    if file.exists() and json.loads(file.read_text()) != settings:
        raise ValueError(f"{args.work} holds results of other settings ({file.read_text()}): give another --work.")
    with replacing(file) as partial:
        partial.write_text(json.dumps(settings))


def video_file(args: argparse.Namespace, row: Row, clip: int) -> Path:
    return args.work / f"{row.name}-{clip:02}.safetensors"


def judge_all(args: argparse.Namespace, rows: Sequence[Row]) -> dict[str, list[dict]]:
    """Return the figures of every video there is, by label of the row."""
    done: dict[str, list[dict]] = {}
    missing = 0
    for row, (i, clip) in product(rows, enumerate(clips(args.clips))):
        file = video_file(args, row, i)
        if not file.exists():
            missing += 1
            continue
        entries = judged(load_file(file), clip)
        done.setdefault(row.label, []).extend({"clip": i} | entry for entry in entries)
    if missing:
        print(f"{missing} files are missing: another process is at them, or broke off and left its .taken files.")
    return done


def draw_sheets(args: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Draw a picture per clip and start, of every row's four edits with the first seed, three frames each."""
    some = [0, FRAMES // 2, FRAMES - 1]
    for i, clip in enumerate(clips(args.clips)):
        files = [video_file(args, row, i) for row in rows]
        if not all(file.exists() for file in files):
            continue
        captions = " | ".join(words.caption for words in (clip.words, *clip.edits.values()))
        rendered = [load_file(file) for file in files]
        for start in args.starts:
            edited = [torch.cat([videos[f"0/{start}/{edit}"][some] for edit in EDITS]) / 255 for videos in rendered]
            contact_sheet(
                args.work / f"clip-{i:02}-{start}.png",
                [clip.frames[some].repeat(len(EDITS), 1, 1, 1), *edited],
                [captions, *(row.label for row in rows)],
                frames_shown=len(EDITS) * len(some),
            )


def main() -> None:
    demo = demo_config()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the demo model")
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--steps", type=int, default=demo.max_train_steps, help="of tuning")
    parser.add_argument("--learning-rate", type=float, default=demo.learning_rate)
    parser.add_argument("--sampling-steps", type=int, default=demo.validation_data.num_inference_steps)
    parser.add_argument("--guidance", type=float, default=demo.validation_data.guidance_scale)
    parser.add_argument("--work", type=Path, default=Path("outputs/judged"), help="folder of what is done")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    try:
        keep_settings(args, ("model", "steps", "learning_rate", "sampling_steps", "guidance", "starts", "seeds"))
    except ValueError as error:
        parser.error(str(error))
    rows = choose_rows(args.rows)
    render_all(args, rows)
    draw_sheets(args, rows)
    print(f"\n{json.dumps(vars(args), default=str)}\n\n{tables(judge_all(args, rows), EDITS)}")


if __name__ == "__main__":
    main()
