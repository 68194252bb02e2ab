"""The plan, to be read."""


class ReplayPlan:
    def __init__(self, runner, title):
        self.runner = runner

    def __str__(self):
        return " ".join(s.name for s in self.runner.program.steps)
