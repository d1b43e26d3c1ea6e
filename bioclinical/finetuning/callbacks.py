"""What happens beside the steps of a training: its clock and progress, a mark on complete checkpoints, scores shown."""

import json
import sys
import time
from pathlib import Path

from transformers import TrainerCallback

from bioclinical.files import write_json
from bioclinical.metrics.metric import Metric

SECONDS_BETWEEN_LINES = 10
COMPLETE_MARK = "complete.json"


class StepClock(TrainerCallback):
    """Times the training steps; where stderr is no terminal, prints a line with an estimate every few seconds."""

    def __init__(self) -> None:
        self.training_s = 0.0
        self.steps = 0
        self.last_line = 0.0
        self.step_started = 0.0

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.step_started = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        now = time.perf_counter()
        self.training_s += now - self.step_started
        self.steps += 1
        if args.disable_tqdm and (now - self.last_line > SECONDS_BETWEEN_LINES or state.global_step == state.max_steps):
            self.last_line = now
            left_s = (state.max_steps - state.global_step) * self.training_s / self.steps
            losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
            print(
                f"step {state.global_step}/{state.max_steps}  epoch {state.epoch:.2f}/{args.num_train_epochs:g}"
                + (f"  loss {losses[-1]:.4f}" if losses else "")
                + f"  {self.steps / self.training_s:.2f} steps/s  about {left_s:.0f} s of training left",
                file=sys.stderr,
                flush=True,
            )


class CompleteMark(TrainerCallback):
    """Leaves a list of a checkpoint's files and sizes in it once all are written."""

    def on_save(self, args, state, control, **kwargs) -> None:
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        sizes = {path.name: path.stat().st_size for path in checkpoint.iterdir()}
        write_json(checkpoint / COMPLETE_MARK, sizes)


def is_complete(checkpoint: Path) -> bool:
    """Whether every file of a checkpoint is there in full, and the best epoch's checkpoint that it refers to too."""
    try:
        sizes = json.loads((checkpoint / COMPLETE_MARK).read_text())
        best = json.loads((checkpoint / "trainer_state.json").read_text())["best_model_checkpoint"]
    except (OSError, ValueError):
        return False
    whole = all((checkpoint / name).is_file() and (checkpoint / name).stat().st_size == sizes[name] for name in sizes)
    best_folder = checkpoint.parent / Path(best or checkpoint).name
    return whole and (best_folder == checkpoint or is_complete(best_folder))


class Patience(TrainerCallback):
    """Ends the training after so many evaluations without a better score. It keeps nothing: the Trainer's log says all,
    so that a resumed training ends where an unbroken one does."""

    def __init__(self, metric: Metric, patience: int) -> None:
        self.metric, self.patience = metric, patience

    def on_evaluate(self, args, state, control, **kwargs) -> None:
        control.should_training_stop = control.should_training_stop or self.is_exhausted(state.log_history)

    def is_exhausted(self, log_history: list[dict]) -> bool:
        """Whether the newest evaluations, as many as there is patience, did not beat what came before them."""
        name = f"eval_{self.metric.name}"
        scores = [entry[name] * (1 if self.metric.higher_is_better else -1) for entry in log_history if name in entry]
        return len(scores) > self.patience and max(scores[-self.patience :]) <= max(scores[: -self.patience])


class EpochScores(TrainerCallback):
    """Prints the validation score of each epoch as it is known."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def on_evaluate(self, args, state, control, metrics=None, **kwargs) -> None:
        if metrics and f"eval_{self.metric.name}" in metrics:
            score = self.metric.display(metrics[f"eval_{self.metric.name}"])
            unit = " %" if self.metric.in_percent else ""
            print(f"epoch {state.epoch:g}: validation {self.metric.name} {score}{unit}")
