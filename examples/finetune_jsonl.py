"""Fine-tunes a local causal language model on JSON lines {"prompt": ..., "answer": ...}, with Addax."""

import argparse
import json
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, TrainingArguments

from addax.hf_trainer import AddaxTrainer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="folder with a model and its tokenizer")
parser.add_argument("data", type=Path, help="JSON lines file")
parser.add_argument("output", help="folder for checkpoints and the fine-tuned model")
parser.add_argument("--length-threshold", type=int, help="tokens; longer examples are seen without backward")
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--steps", type=int, default=1000)
given = parser.parse_args()

tokenizer = AutoTokenizer.from_pretrained(given.model)
model = AutoModelForCausalLM.from_pretrained(given.model)
examples = []
for line in given.data.read_text(encoding="utf-8").splitlines():
    row = json.loads(line)
    prompt, whole = (tokenizer(t)["input_ids"] for t in (row["prompt"], row["prompt"] + row["answer"]))
    examples.append({"input_ids": whole, "labels": [-100] * len(prompt) + whole[len(prompt) :]})

trainer = AddaxTrainer(
    model=model,
    args=TrainingArguments(
        given.output, max_steps=given.steps, learning_rate=given.lr, logging_steps=10, max_grad_norm=0
    ),
    train_dataset=examples,
    data_collator=DataCollatorForSeq2Seq(tokenizer),
    length_threshold=given.length_threshold,
)
trainer.train()
trainer.save_model()
