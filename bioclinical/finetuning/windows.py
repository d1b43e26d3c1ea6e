"""The windows of a split's truncated examples."""

from transformers import PreTrainedTokenizerFast

from bioclinical.finetuning.encoding import EXAMPLE_INDEX, IGNORED_LABEL, EncodedSplit
from bioclinical.tasks.task import TaskData
from bioclinical.text.windows import model_inputs, windows_of


def windowed_split(
    tokenizer: PreTrainedTokenizerFast, data: TaskData, split: EncodedSplit, max_length: int
) -> tuple[EncodedSplit, list[int]]:
    """The windows of the truncated examples as examples of their own, and the position in `split` of each.

    `seen_words` are the words scored in a window.
    """
    windows, positions = EncodedSplit(examples=[], features=[], seen_words=[], cut=[]), []
    for i in split.cut:
        example, row = split.examples[i], split.features[i]
        for window in windows_of(tokenizer, example["tokens" if data.task.is_token_task else "text"], max_length):
            feature = model_inputs(window, row.keys())
            if data.task.is_token_task:
                if not window.words:
                    continue  # nothing is scored there, and a batch of such windows would have no loss
                labels = dict(zip(window.places, (data.labels.index(example["tags"][w]) for w in window.words)))
                feature["labels"] = [labels.get(place, IGNORED_LABEL) for place in range(len(window.input_ids))]
            else:
                feature["labels"] = row["labels"]
            windows.features.append(feature | {EXAMPLE_INDEX: len(windows.examples)})
            windows.examples.append(example)
            windows.seen_words.append(window.words)
            positions.append(i)
    return windows, positions
