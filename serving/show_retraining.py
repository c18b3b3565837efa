"""What a retraining did, in lines."""

from __future__ import annotations

from collections.abc import Iterator

from serving.retraining import Story


def story_lines(story: Story) -> Iterator[str]:
    """Whether it was due and why, and what came of it."""
    yield "Training was due:" if story.due else "Nothing is due:"
    for rule in story.rules:
        yield f"  {'yes' if rule.due else ' no'}  {rule.words}"
    for words in story.rolled_back:
        yield f"Rolled back {words}"
    yield from story.decisions
    if story.scored:
        yield "Every customer was scored by the champions."
