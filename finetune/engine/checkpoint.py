"""Checkpoints: copied at once, written while the next update is computed, renamed whole.

A killed run always finds a complete one. Weights and optimizer are saved by name (torch.distributed.checkpoint), so
a run goes on with another number of processes or with other sharding; DeepSpeed writes its own, for the same layout.
"""

import os
import re
import shutil
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial as partial_call
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load as load_sharded
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.tensor import DTensor

from camelid.config import to_tree
from camelid.errors import UserError
from camelid.files.read import read_json
from camelid.files.write import sync_folder, write_json
from finetune.engine.optimizer import InBackward
from finetune.engine.replicas import require_equal_replicas
from finetune.engine.worker import Worker
from finetune.llama.config import LlamaConfig
from finetune.parallel.patience import Patience

NAME = re.compile(r"update-(\d{8})")
TRAINED = StateDictOptions(ignore_frozen_params=True, strict=False)  # an adapter's base is not saved again
ROOM = 1.05  # free disk space that is wanted, of the size of the state: metadata and file headers


@dataclass(frozen=True)
class CheckpointPosition:
    """Where in the run a checkpoint was made.

    Attributes:
        update: updates done.
        tokens: tokens trained on so far.
        skipped: updates skipped in a row just before.
        validation_loss: if it was measured at this update.
        processes: that wrote it.
        sharding: of the run that wrote it.
        model: the shape of the model.
    """

    update: int
    tokens: int
    skipped: int
    validation_loss: float | None
    processes: int
    sharding: str
    model: dict[str, Any]


def checkpoint_position(
    worker: Worker, done: int, tokens: int, skipped: int, validation: float | None
) -> CheckpointPosition:
    """The position of a checkpoint made now."""
    processes = worker.accelerator.num_processes
    shape = to_tree(worker.unwrapped.config)
    return CheckpointPosition(done, tokens, skipped, validation, processes, worker.sharding, shape)


def read_position(checkpoint: Path) -> CheckpointPosition:
    """Read where a checkpoint stands."""
    return CheckpointPosition(**read_json(checkpoint / "position.json"))


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    found = all_checkpoints(folder)
    return found[-1] if found else None


def best_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the lowest validation loss, or None if none was validated."""
    losses = [(read_position(path).validation_loss, path) for path in all_checkpoints(folder)]
    return min(((loss, path) for loss, path in losses if loss is not None), default=(0.0, None))[1]


class CheckpointSaver:
    """Saves the state of a worker; every process calls it at the same updates.

    Args:
        worker: whose weights and optimizer are saved.
        folder: the run's `checkpoints` folder.
        keep: how many of the newest checkpoints stay, beside the best one.
        critic: a second model that is trained beside it, if there is one.
    """

    def __init__(self, worker: Worker, folder: Path, keep: int, critic: Worker | None = None) -> None:
        self._worker, self._folder, self._keep = worker, folder, keep
        self._workers = [worker] if critic is None else [worker, critic]
        # Of their own, so that their messages never mix with those of the training: it writes in the background.
        self._writing = Patience()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        # That a process without others saves alone is what is meant; torch warns of it at each run's first save.
        warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized", UserWarning)

    def save(self, where: CheckpointPosition, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Copy the state now and write it in the background, after the save before it has finished.

        Args:
            where: the run stands.
            files: what else the checkpoint is to hold, by name; those of the main process are written.

        Raises:
            UserError: the disk is too full, or the processes' copies of the weights differ; the checkpoints that are
                there stay.
        """
        self.wait()
        for each in self._workers:
            require_equal_replicas(each, where.update)
        worker, final = self._worker, self._folder / f"update-{where.update:08d}"
        partial = final.with_name(f".{final.name}.partial")
        main = worker.accelerator.is_main_process
        if main:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        self._require_room()
        worker.patience.wait()
        if worker.engine is not None:
            worker.engine.save_checkpoint(str(partial), tag="deepspeed", exclude_frozen_parameters=True)
            worker.patience.wait()
            written: Future[Any] | None = None
        else:
            saving = async_save(_states(*self._workers), checkpoint_id=partial, process_group=self._writing.group)
            assert isinstance(saving, Future)
            written = saving
        finish = partial_call(self._finish, final=final, where=where, files=files) if main else self._await
        self._pending = self._thread.submit(finish, written, partial)

    def wait(self) -> None:
        """Wait for the save that is being written, on all processes.

        Raises:
            UserError: it could not be written, by any of them.
        """
        pending, self._pending = self._pending, None
        if pending is None:
            return
        reason = None
        try:
            pending.result()
        except OSError as error:
            reason = str(error)
        except CheckpointException as error:
            reason = str(next(iter(error.failures.values()))[0]).splitlines()[0]
        self._worker.patience.wait(reason and f"{self._folder}: the checkpoint could not be written: {reason}")

    def _await(self, written: Future[Any] | None, partial: Path) -> None:
        if written is not None:
            written.result()

    def _finish(
        self,
        written: Future[Any] | None,
        partial: Path,
        final: Path,
        where: CheckpointPosition,
        files: Mapping[str, bytes],
    ) -> None:
        """Once every process has written its part, make the checkpoint count and remove old ones."""
        self._await(written, partial)
        for name, content in files.items():
            (partial / name).write_bytes(content)
        write_json(partial / "position.json", asdict(where))
        _sync_tree(partial)
        if final.is_dir():  # this update was saved before the run was resumed
            remove_checkpoint(final)
        partial.rename(final)
        sync_folder(self._folder)
        keep = best_checkpoint(self._folder)
        for old in all_checkpoints(self._folder)[: -self._keep]:
            if old != keep:
                remove_checkpoint(old)

    def _require_room(self) -> None:
        worker = self._worker
        trained = [weight for each in self._workers for weight in each.model.parameters() if weight.requires_grad]
        moments = [tensor for each in self._workers for tensor in _tensors(_optimizer_state(each))]
        mine = float(sum(_bytes(tensor) for tensor in [*trained, *moments]))
        size = worker.sum(torch.tensor(mine, device=worker.accelerator.device))
        if worker.sharding == "none":
            size = size / worker.ranks  # every process has all of it, one writes it
        needed, free = int(float(size) * ROOM), shutil.disk_usage(_existing(self._folder)).free
        if worker.any(free < needed)[0]:
            newest = latest_checkpoint(self._folder)
            raise UserError(
                f"{self._folder}: a checkpoint needs {needed / 1e9:.3g} GB, but {free / 1e9:.3g} GB are free; make "
                f"room and start the same command again, it goes on from {newest.name if newest else 'the beginning'}"
            )


def load_checkpoint(
    worker: Worker, path: Path, config: LlamaConfig, critic: Worker | None = None
) -> CheckpointPosition:
    """Load a checkpoint into the weights and optimizer of a worker, and of a second model beside it.

    Raises:
        UserError: it is of another model, or of DeepSpeed with another layout.
    """
    where = read_position(path)
    require_model(where, path, config)
    processes = worker.accelerator.num_processes
    deepspeed = worker.engine is not None
    written, here = (where.processes, where.sharding), (processes, worker.sharding)
    if written != here and (deepspeed or where.sharding.startswith("zero")):
        raise UserError(
            f"{path}: written by {where.processes} process(es) with {where.sharding}, which {processes} with "
            f"{worker.sharding} can't read; launch as before (those of fsdp2 and none fit any number of processes)"
        )
    if deepspeed:
        worker.engine.load_checkpoint(str(path), tag="deepspeed", load_module_strict=False)
        return where
    workers = [worker] if critic is None else [worker, critic]
    state = _states(*workers)
    load_sharded(state, checkpoint_id=path, process_group=worker.patience.group)  # another disk may be slower
    for each, part in zip(workers, (state, state.get("critic")), strict=False):
        assert part is not None
        set_state_dict(
            each.model,
            _optimizers(each),
            model_state_dict=part["model"],
            optim_state_dict=part["optimizer"],
            options=TRAINED,
        )
    return where


def require_model(where: CheckpointPosition, path: Path, config: LlamaConfig) -> None:
    """Refuse a checkpoint of another model.

    Raises:
        UserError: names the first field that differs.
    """
    # As config.json has it: in full, whatever fields a `LlamaConfig` had when the checkpoint was written.
    then = LlamaConfig(**where.model).to_json()
    for name, value in config.to_json().items():
        if then.get(name) != value:
            raise UserError(
                f"{path}: the checkpoint is of another model ({name} = {then.get(name)!r}, model.path has "
                f"{value!r}); choose another run.output, or remove that folder"
            )


def remove_partial(folder: Path) -> None:
    """Remove what a killed save or a killed removal left behind."""
    for path in folder.glob(".update-*.partial"):
        shutil.rmtree(path)


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove a checkpoint; a kill halfway leaves nothing that looks like a complete one."""
    going = checkpoint.with_name(f".{checkpoint.name}.removed.partial")
    checkpoint.rename(going)
    shutil.rmtree(going)


def _optimizers(worker: Worker) -> Any:
    return worker.optimizer.optimizers if isinstance(worker.optimizer, InBackward) else worker.optimizer


def _states(worker: Worker, critic: Worker | None = None) -> dict[str, Any]:
    return _state(worker) | ({} if critic is None else {"critic": _state(critic)})


def _state(worker: Worker) -> dict[str, Any]:
    model, optimizer = get_state_dict(worker.model, _optimizers(worker), options=TRAINED)
    if worker.pipeline is not None:
        groups: Any = optimizer["param_groups"]
        for group in groups:  # one file for all stages: each names the weights of the whole model, so any layout fits
            group["params"] = worker.pipeline.names_like(group["params"][0])
    return {"model": model, "optimizer": optimizer}


def _optimizer_state(worker: Worker) -> Any:
    optimizers = worker.optimizer.optimizers if isinstance(worker.optimizer, InBackward) else [worker.optimizer]
    return [optimizer.state for optimizer in optimizers]


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, list | tuple) else []


def _bytes(tensor: Tensor) -> int:
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).nbytes


def _existing(folder: Path) -> Path:
    return folder if folder.is_dir() else _existing(folder.parent)


def all_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)
