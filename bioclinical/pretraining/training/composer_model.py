"""An objective and its networks as Composer trains them: rows in, loss out."""

from typing import Any

from composer.models import ComposerModel
from torch import Tensor, nn
from torchmetrics import Metric

from bioclinical.pretraining.data.rows import Batch, Row
from bioclinical.pretraining.objectives import Objective


class TrainedModel(ComposerModel):
    """Networks are attributes by their names, so that parameters are named model.<Hugging Face's name>, and so on.

    Composer weights the rows of all processes by their loss_weight (accumulate_train_batch_on_tokens).
    """

    def __init__(self, objective: Objective, networks: dict[str, nn.Module]):
        super().__init__()
        self.objective = objective
        self.names = tuple(networks)
        for name, network in networks.items():
            setattr(self, name, network)
        self.metrics = objective.metrics()

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in self.names}

    def forward(self, batch: Batch) -> Tensor | dict[str, Tensor]:
        """The loss of the batch's only row; with several terms also each of them."""
        (row,) = batch["rows"]
        sums = self.objective.loss_sums(self.networks, row)
        if row["is_silent"]:
            sums = {term: 0.0 * value for term, value in sums.items()}  # still a gradient, as DDP needs
        return row_loss(sums, row, self.objective.terms)

    def loss(self, outputs: Tensor | dict[str, Tensor], batch: Batch) -> Tensor | dict[str, Tensor]:
        return outputs

    def eval_forward(self, batch: Batch, outputs: Any = None) -> Any:
        """What the metrics compare, for the batch's only row."""
        (row,) = batch["rows"]
        return self.objective.predictions(self.networks, row)

    def get_metrics(self, is_train: bool = False) -> dict[str, Metric]:
        return {} if is_train else self.metrics

    def update_metric(self, batch: Batch, outputs: Any, metric: Metric) -> None:
        if not batch["rows"][0]["is_silent"]:
            self.objective.update(metric, outputs)

    def flops_per_batch(self, batch: Batch) -> float:
        """Operations of one forward and backward pass, for model FLOPs utilisation; 0 where no formula tells."""
        return sum(self.objective.training_flops(self.networks, row) or 0.0 for row in batch["rows"])


def row_loss(sums: dict[str, Tensor], row: Row, terms: dict[str, float]) -> Tensor | dict[str, Tensor]:
    """The row's part of the loss, such that Composer's mean over rows by loss_weight is the loss of the whole batch.

    One term: its mean over the row's positions. Several: coefficient x sum / positions in the whole batch (term_totals,
    the row's own where it stands alone), under `total`, and each term without its coefficient under its name.
    """
    if len(terms) == 1:
        ((term, coefficient),) = terms.items()
        return coefficient * (sums[term] / max(row["loss_weight"], 1))
    totals = row.get("term_totals") or {**row["weights"], "loss_weight": row["loss_weight"]}
    scale = totals["loss_weight"] / max(row["loss_weight"], 1)
    parts = {term: scale * value / max(totals[term], 1) for term, value in sums.items()}
    return {"total": sum(coefficient * parts[term] for term, coefficient in terms.items()), **parts}


def total_of(loss: Tensor | dict[str, Tensor]) -> Tensor:
    return loss["total"] if isinstance(loss, dict) else loss
