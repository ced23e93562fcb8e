"""lm-evaluation-harness: a multiple-choice task by its own `hf` model and over the server; see `test_lm_eval`."""

import json
import sys

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

url, folder, tasks = sys.argv[1:]
found = []
for model, arguments in (
    ("hf", {"pretrained": folder, "device": "cpu", "dtype": "float32", "max_length": 255, "add_bos_token": True}),
    (
        "local-completions",
        {
            "base_url": f"{url}/completions",
            "model": "lively",
            "tokenizer": folder,
            "tokenizer_backend": "huggingface",
            "tokenized_requests": True,
            "batch_size": 4,
            "max_length": 256,
            "add_bos_token": True,
        },
    ),
):
    result = simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=["words"],
        task_manager=TaskManager(include_path=tasks),
        log_samples=True,
        bootstrap_iters=0,
    )
    samples = sorted(result["samples"]["words"], key=lambda sample: sample["doc_id"])
    found.append(
        {
            "accuracy": result["results"]["words"]["acc,none"],
            "logprobs": [[float(reply[0]) for reply in sample["filtered_resps"]] for sample in samples],
            "greedy": [[str(reply[1]) == "True" for reply in sample["filtered_resps"]] for sample in samples],
        }
    )
print(json.dumps(found))
