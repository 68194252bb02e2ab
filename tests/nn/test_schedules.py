"""Schedules, step by step, against the numbers of PyTorch's."""

from __future__ import annotations

import pytest

import nn

# PyTorch 2.13: OneCycleLR(max_lr=1, total_steps=10, pct_start=0.3, div_factor=25, final_div_factor=1e4)
ONE_CYCLE = [0.04, 0.52, 1.0, 0.950484631, 0.811745653, 0.611262369, 0.388741631, 0.188258347, 0.049519369, 4e-06]


def test_one_cycle_has_the_rates_of_pytorch():
    schedule = nn.schedules.one_cycle(1.0, 10, final=1 / 25 / 1e4)
    assert [schedule(step) for step in range(10)] == pytest.approx(ONE_CYCLE, rel=1e-6)
    assert schedule(10) == schedule(9)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 100])
@pytest.mark.parametrize("rise", [0.0, 0.3, 0.5, 1.0])
def test_one_cycle_begins_and_ends_where_it_says(steps, rise):
    schedule = nn.schedules.one_cycle(2.0, steps, rise=rise, start=0.1, final=0.01)
    rates = [schedule(step) for step in range(steps + 2)]
    assert all(0.02 <= rate <= 2.0 + 1e-12 for rate in rates)
    if rise * steps > 1:
        assert rates[0] == pytest.approx(0.2)
    if steps > 1 and rise < 1:
        assert rates[steps - 1] == rates[steps] == pytest.approx(0.02)


@pytest.mark.parametrize("steps", [5, 10, 33])
def test_schedules_equal_those_of_pytorch(steps):
    torch = pytest.importorskip("torch")

    def theirs(make):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
        schedule, rates = make(optimizer), []
        for step in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if step < steps - 1:  # OneCycleLR gives no rate after its last step
                schedule.step()
        return rates

    of = torch.optim.lr_scheduler
    pairs = [
        (
            nn.schedules.one_cycle(0.5, steps, rise=0.4, start=0.1, final=0.001),
            lambda o: of.OneCycleLR(o, 0.5, total_steps=steps, pct_start=0.4, div_factor=10, final_div_factor=100),
        ),
        (nn.schedules.cosine(0.5, steps, 0.1), lambda o: of.CosineAnnealingLR(o, steps, eta_min=0.1)),
        (nn.schedules.step_decay(0.5, 3, 0.2), lambda o: of.StepLR(o, 3, 0.2)),
        (nn.schedules.warm_up(nn.schedules.constant(0.5), 4), lambda o: of.LinearLR(o, 0.25, total_iters=3)),
    ]
    for ours, make in pairs:
        assert [ours(step) for step in range(steps)] == pytest.approx(theirs(make))
