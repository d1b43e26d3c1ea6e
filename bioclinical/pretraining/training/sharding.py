"""A model over several GPUs (FSDP): every process holds a share of all weights, gradients and optimizer moments.

torch's fully_shard, a unit per block of the network and one for the rest. Composer's own wrapping makes a unit of every
network of the model, whose parts are called one by one here, so that its weights would never be gathered; it takes a
model that is sharded already as it is: checkpoints are whole files, gathered and written by the first process, and a
run is resumed by each process reading the whole file.
"""

import torch
from composer.utils import dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from bioclinical.errors import UserError
from bioclinical.pretraining.architectures import Architecture
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.recipe.schema import Recipe
from bioclinical.pretraining.training.composer_model import TrainedModel

# Others look at whole tensors (their norm, their mean square), of which a process has only a share.
ELEMENTWISE_OPTIMIZERS = ("adamw", "decoupled_adamw")


def expect_shardable(recipe: Recipe, architecture: Architecture) -> None:
    """Raises UserError where a run asks for FSDP and cannot have it."""
    if not architecture.is_causal:
        raise UserError(
            f"fsdp_config: only gpt2 is sharded here, not {architecture.config.model_type}: encoders fit on every GPU; "
            "leave it out"
        )
    if recipe.optimizer.name not in ELEMENTWISE_OPTIMIZERS:
        raise UserError(
            f"fsdp_config: optimizer {recipe.optimizer.name} needs whole tensors; use "
            f"{' or '.join(ELEMENTWISE_OPTIMIZERS)}"
        )


def shard(
    model: TrainedModel, optimizer: torch.optim.Optimizer, architecture: Architecture, compute: Compute, precision: str
) -> None:
    """Divides the model, and moments that the optimizer may hold already, among all processes, in place.

    Every process must hold the same weights. In bf16 the gathered weights are bf16, what is kept and reduced fp32.
    """
    architecture.similar = 0.0  # each call of a block is one gathering, of which all processes must have as many
    mesh = init_device_mesh(compute.device, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy()
    if precision == "amp_bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for unit in (*architecture.layers(model.networks["model"]), model):
        fully_shard(unit, mesh=mesh, mp_policy=policy)
        if compute.device == "cpu":  # asked for the mean of all processes' gradients, gloo gives their sum
            unit.set_all_reduce_hook(lambda gradients: gradients.div_(mesh.size()))
    register_fsdp_forward_method(model, "eval_forward")
    sharded = dict(model.named_parameters())
    moments = {sharded[names[parameter]]: state for parameter, state in optimizer.state.items()}
    optimizer.state.clear()
    for group in optimizer.param_groups:
        group["params"] = [sharded[names[parameter]] for parameter in group["params"]]
    for parameter, state in moments.items():
        optimizer.state[parameter] = {name: share_of(value, parameter) for name, value in state.items()}


def share_of(value: Tensor, parameter: DTensor) -> Tensor:
    """A moment divided like its parameter; a step's number stays as it is."""
    if value.shape != parameter.shape:
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)


def whole(value: Tensor) -> Tensor:
    """A figure over all processes' shares, as a plain tensor."""
    return value.full_tensor() if isinstance(value, DTensor) else value
