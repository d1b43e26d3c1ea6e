"""A run of the benchmark: what it will measure, the measuring, the document that is kept up to date meanwhile."""

import contextlib
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from bioclinical.files import sha256_of_file
from bioclinical.runtime import machine, provenance
from bioclinical.runtime.choice import Choice, Device
from bioclinical.speed.document import Document, continued, write_document
from bioclinical.speed.job import Job
from bioclinical.speed.messages import Message
from bioclinical.speed.plan import ModelPlan, choose_dtype, plan_model, use_gpu
from bioclinical.speed.processes import messages_of
from bioclinical.speed.request import Request
from bioclinical.speed.worker import measure


class Measuring:
    """The jobs of a run and the document they fill. Making one raises UserError for what cannot be measured."""

    def __init__(self, request: Request):
        self.request = request
        use_gpu(request.gpu)
        device = machine.choose_device(request.device)
        capability = torch.cuda.get_device_capability() if device.value == "cuda" else (0, 0)
        dtype = choose_dtype(request.dtype, device.value, capability)
        print(f"device: {device}\ndtype: {dtype}")
        plans = {name: plan_model(name, request, device, dtype.value) for name in request.models}
        self.document = new_document(request, device, dtype, plans)
        if request.resume and request.output.exists():
            self.document = continued(request.output, self.document)
        self.jobs = [job for plan in plans.values() for job in plan.jobs]

    def run(self) -> None:
        """Measures what the document does not hold yet, one process after another."""
        budget_min = self.request.time_budget_min
        deadline = time.monotonic() + 60 * budget_min if budget_min else None
        done = {(row["model"], row["dataset"], row["layout"]) for row in self.document["results"]}
        jobs = [job for job in (without(job, done) for job in self.jobs) if job.attention]
        passes = (self.request.n_iters + 1) * sum(len(job.attention) for job in jobs)
        with tqdm(total=passes, unit="pass", file=sys.stderr, dynamic_ncols=True) as bar:
            for number, job in enumerate(jobs):
                patience = None
                if deadline:
                    job = replace(job, seconds=(deadline - time.monotonic()) / (len(jobs) - number))
                    # One that hangs leaves time to the others.
                    patience = min(deadline, time.monotonic() + 2 * job.seconds)
                method = "forkserver" if job.device.value == "cpu" else "spawn"
                with contextlib.closing(messages_of(measure, job, method, patience)) as messages:
                    for message in messages:
                        self.take(message, job, bar)

    def take(self, message: Message, job: Job, bar: tqdm) -> None:
        """Shows a process's message, and keeps its rows and failures."""
        name, dataset = job.source.name, job.workload.name
        if "failed" in message:
            self.document["failures"].append({"model": name, "dataset": dataset, "error": message["failed"]})
            bar.write(f"failed: {dataset} on {name}: {message['failed']}", file=sys.stderr)
        elif "row" in message:
            self.document["results"].append(message["row"])
            bar.update(self.request.n_iters - len(message["row"]["times_s"]))  # passes left out for want of time
            write_document(self.document, self.request.output)
        elif "passes" in message:
            bar.update(message["passes"])
        else:
            bar.set_description(f"{Path(name).name} {dataset}: {message['state']}")


def new_document(request: Request, device: Device, dtype: Choice, plans: dict[str, ModelPlan]) -> Document:
    """The document before anything is measured."""
    names = list(request.models)
    return {
        "model": names[0] if len(names) == 1 else names,
        "models": {name: plan.sha256 for name, plan in plans.items()},
        "device": device.value,
        "device_name": device.name,
        "dtype": dtype.value,
        "attention": request.attn,
        # What must be unchanged for a run to be continued.
        "config": {
            "num_samples": request.num_samples,
            "n_iters": request.n_iters,
            "attn": request.attn,
            "batch_size": request.batch_size,
            "compile": request.compile,
            "text_file_sha256": sha256_of_file(request.text_file) if request.text_file else None,
        },
        "versions": provenance.installed_versions(),
        "hardware": provenance.hardware(),
        "git_commit": provenance.git_commit(),
        "command": sys.argv,
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "complete": False,
        "results": [],
        "failures": [],
    }


def without(job: Job, done: set[tuple[str, str, str]]) -> Job:
    """The job without the layouts that were measured already."""
    name, dataset = job.source.name, job.workload.name
    return replace(job, attention={k: choice for k, choice in job.attention.items() if (name, dataset, k) not in done})
