"""Fine-tune a local causal language model with Addax on JSON lines {"prompt": ..., "answer": ...}."""

import argparse
import json
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, TrainingArguments

from addax.hf_trainer import AddaxTrainer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="folder that contains the model and its tokenizer")
parser.add_argument("data", type=Path, help="JSON lines file with the training examples")
parser.add_argument("output", help="folder for checkpoints and the fine-tuned model")
parser.add_argument("--length-threshold", type=int, help="in tokens; longer examples get no backward pass")
parser.add_argument("--lr", type=float, default=1e-3, help="learning rate (default: %(default)s)")
parser.add_argument("--steps", type=int, default=1000, help="number of steps (default: %(default)s)")
args = parser.parse_args()

tokenizer = AutoTokenizer.from_pretrained(args.model)
model = AutoModelForCausalLM.from_pretrained(args.model)
examples = []
for line in args.data.read_text(encoding="utf-8").splitlines():
    row = json.loads(line)
    prompt, whole = (tokenizer(t)["input_ids"] for t in (row["prompt"], row["prompt"] + row["answer"]))
    examples.append({"input_ids": whole, "labels": [-100] * len(prompt) + whole[len(prompt) :]})

trainer = AddaxTrainer(
    model=model,
    args=TrainingArguments(
        args.output, max_steps=args.steps, learning_rate=args.lr, logging_steps=10, max_grad_norm=0
    ),
    train_dataset=examples,
    data_collator=DataCollatorForSeq2Seq(tokenizer),
    length_threshold=args.length_threshold,
)
trainer.train()
trainer.save_model()
