"""Warnings: each for its own failure, once, and none for a healthy run."""

from __future__ import annotations

import math

from gancodec.training.diagnostics import COLLAPSED_STEPS, FROZEN_STEPS, WINDOW, Watch


def healthy(step: int) -> dict[str, float]:
    return {"skipped": 0.0, "d_loss": 0.4 + 0.05 * math.sin(step), "adversarial": 1.0, "bpp": 0.5}


def warnings_of(watch: Watch, rows: list[dict[str, float]]) -> list[str]:
    return [message for row in rows for message in watch.look(row)]


def test_healthy_run_is_silent() -> None:
    assert warnings_of(Watch("chi2"), [healthy(step) for step in range(2000)]) == []


def test_winning_discriminator_is_named_once() -> None:
    rows = [healthy(step) for step in range(WINDOW)]
    rows += [{"skipped": 0.0, "d_loss": 0.001, "adversarial": 3.0, "bpp": 0.5}] * 500
    [message] = warnings_of(Watch("chi2"), rows)
    assert "have won" in message and "--lambda-adv" in message


def test_strong_discriminator_whose_generator_keeps_up_is_no_failure() -> None:
    rows = [healthy(step) for step in range(WINDOW)]
    rows += [{"skipped": 0.0, "d_loss": 0.001, "adversarial": 0.5, "bpp": 0.5}] * 500
    assert warnings_of(Watch("chi2"), rows) == []


def test_discriminator_frozen_at_its_balance_is_named() -> None:
    for kind, balance in (("chi2", 0.5), ("vanilla", 2 * math.log(2))):
        rows = [{"skipped": 0.0, "d_loss": balance * 1.001, "adversarial": 0.25}] * (FROZEN_STEPS + 50)
        [message] = warnings_of(Watch(kind), rows)
        assert "learnt nothing" in message
    assert warnings_of(Watch("hinge"), rows) == []  # has no such value


def test_balance_that_is_reached_late_is_no_failure() -> None:
    rows = [healthy(step) for step in range(3 * WINDOW)]
    rows += [{"skipped": 0.0, "d_loss": 0.5, "adversarial": 0.25, "bpp": 0.5}] * 1000
    assert warnings_of(Watch("chi2"), rows) == []


def test_skipped_steps_are_named_once_and_again_when_many() -> None:
    watch = Watch("chi2")
    skipped = {"skipped": 1.0, "d_loss": math.nan, "bpp": math.nan}
    assert len(watch.look(skipped)) == 1
    assert watch.look(skipped) == []
    later = warnings_of(watch, [healthy(step) for step in range(50)] + [skipped] * 20)
    assert len(later) == 1 and "1 %" in later[0]


def test_collapsed_rate_is_named() -> None:
    rows = [{"skipped": 0.0, "bpp": 0.001}] * (COLLAPSED_STEPS + 10)
    [message] = warnings_of(Watch("chi2"), rows)
    assert "collapsed" in message and "--lambda-x" in message


def test_files_far_from_the_estimate_are_named() -> None:
    assert Watch("chi2").compare_file(1010.0, 1000.0) == []
    assert Watch("chi2").compare_file(985.0, 1000.0) == []
    for bits in (1030.0, 970.0, math.nan):
        assert len(Watch("chi2").compare_file(bits, 1000.0)) == 1


def test_resumed_run_does_not_repeat_a_warning() -> None:
    first = Watch("chi2")
    assert first.look({"skipped": 1.0})
    assert Watch("chi2", first.warned).look({"skipped": 1.0}) == []


def test_resumed_run_judges_as_if_there_had_been_no_interruption() -> None:
    """Balance reached late is none after a resumption either; a rise counts from the run's start."""
    first = Watch("chi2")
    warnings_of(first, [healthy(step) for step in range(3 * WINDOW)])
    balanced = [{"skipped": 0.0, "d_loss": 0.5, "adversarial": 0.25, "bpp": 0.5}] * 1000
    assert warnings_of(Watch("chi2", first.warned, first.remembered), balanced) == []
    won = [{"skipped": 0.0, "d_loss": 0.001, "adversarial": 1.5, "bpp": 0.5}] * (2 * WINDOW)
    assert len(warnings_of(Watch("chi2", first.warned, first.remembered), won)) == 1
    assert warnings_of(Watch("chi2"), won) == []
