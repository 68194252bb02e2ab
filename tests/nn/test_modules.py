"""Module: finding parts, names and scopes, state, modes, representation, and mistakes."""

import copy
import pickle
import threading

import numpy as np
import pytest

import nn
import tensorgrad as tg


class Branches(nn.Module):
    """Parts in every kind of container, one parameter under two names, and a buffer."""

    def __init__(self):
        self.first = nn.Linear(3, 4, rng=0)
        self.blocks = [nn.Linear(4, 4, rng=1), nn.Sequential(nn.Linear(4, 4, rng=2), nn.Tanh())]
        self.heads = {"left": nn.Linear(4, 2, rng=3), "right": (nn.Linear(4, 2, rng=4), None)}
        self.scales = [nn.Parameter([1.0]), nn.Parameter([2.0])]
        self.mean = nn.Buffer(np.zeros(3, np.float32))
        self.tied = self.first.weight
        self.note = "no part"

    def forward(self, x):
        x = self.first(x - self.mean)
        for block in self.blocks:
            x = block(x)
        return self.heads["left"](x) * self.scales[0] + self.heads["right"][0](x) * self.scales[1]


class Probe(nn.Module):
    """Remembers the scope it ran under."""

    def forward(self, x):
        self.seen = tg.state.current().scope.path
        self.kind = tg.state.current().scope.kind
        return x


# -- finding -------------------------------------------------------------------------------------------------------


def test_parameters_are_found_in_containers_in_order_of_assignment_and_once():
    assert [name for name, _ in Branches().named_parameters()] == [
        "first.weight",
        "first.bias",
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.0.weight",
        "blocks.1.0.bias",
        "heads.left.weight",
        "heads.left.bias",
        "heads.right.0.weight",
        "heads.right.0.bias",
        "scales.0",
        "scales.1",
    ]


def test_state_dict_holds_buffers_and_shared_parameters_under_all_names():
    model = Branches()
    names = list(model.state_dict())
    assert "mean" in names and "tied" in names and "first.weight" in names
    assert [name for name, _ in model.named_buffers()] == ["mean"]
    assert not any(parameter is model.mean for parameter in model.parameters())


def test_lists_that_change_later_are_seen():
    model = Branches()
    model.blocks.append(nn.Linear(4, 4))
    assert "blocks.2.bias" in model.state_dict()
    del model.blocks[0]
    assert [name for name, _ in model.named_parameters() if name.startswith("blocks")] == [
        "blocks.0.0.weight",
        "blocks.0.0.bias",
        "blocks.1.weight",
        "blocks.1.bias",
    ]


def test_a_module_held_twice_is_one_module():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, layer)
    assert model.modules() == [model, layer]
    assert len(model.parameters()) == 2
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_a_child_may_know_its_parent():
    parent, child = nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2)
    parent.child, child.parent = child, parent
    assert [name for name, _ in parent.named_parameters()] == ["0.weight", "0.bias", "child.weight", "child.bias"]
    assert parent.eval().train() is parent
    assert "..." in repr(parent)


def test_state_dict_names_are_pytorchs():
    torch = pytest.importorskip("torch")

    class TorchBlock(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = torch.nn.ModuleList([torch.nn.Conv2d(2, 4, 3), torch.nn.Conv2d(4, 4, 3, bias=False)])
            self.head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU(), torch.nn.Linear(4, 2))
            self.gate = torch.nn.Parameter(torch.zeros(3))
            self.same = self.head[2]

    class Block(nn.Module):
        def __init__(self):
            self.gate = nn.Parameter(np.zeros(3, np.float32))
            self.convs = [nn.Conv2D(2, 4, 3), nn.Conv2D(4, 4, 3, bias=False)]
            self.head = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(4, 2))
            self.same = self.head[2]

    theirs = {name: tuple(value.shape) for name, value in TorchBlock().state_dict().items()}
    assert {name: value.shape for name, value in Block().state_dict().items()} == theirs


def test_modules_copy_and_pickle():
    model = Branches()
    x = np.ones((2, 3), np.float32)
    expected = model(x).data
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin(x).data, expected)
        tg.assign(twin.scales[0], [5.0])
        assert twin.tied is twin.first.weight
    np.testing.assert_array_equal(model(x).data, expected)


# -- scopes --------------------------------------------------------------------------------------------------------


def test_scopes_are_the_paths_of_the_state_dict():
    class Net(nn.Module):
        def __init__(self):
            self.features = nn.Sequential(Probe(), Probe())
            self.blocks = [Probe(), {"deep": Probe()}]

        def forward(self, x):
            self.root = tg.state.current().scope.path
            x = self.features(x)
            return self.blocks[1]["deep"](self.blocks[0](x))

    net = Net()
    net(1)
    assert net.root == ""
    assert [probe.seen for probe in net.features] == ["features.0", "features.1"]
    assert net.blocks[0].seen == "blocks.0" and net.blocks[1]["deep"].seen == "blocks.1.deep"
    assert net.blocks[0].kind == "Probe"
    assert tg.state.current().scope is None

    net.blocks.insert(0, Probe())
    net.blocks[1], net.blocks[2] = net.blocks[2]["deep"], net.blocks[1]
    net.forward = lambda x: [block(x) for block in net.blocks]
    net(1)
    assert [block.seen for block in net.blocks] == ["blocks.0", "blocks.1", "blocks.2"]


def test_a_module_called_past_its_parent_keeps_its_full_path():
    class Net(nn.Module):
        def __init__(self):
            self.heads = nn.Sequential(nn.Sequential(Probe()), Probe())

        def forward(self, x):
            x = self.heads(x)
            return self.heads[0][0](self.heads[1](x))

    net = Net()
    for _ in range(2):
        net(1)
        assert net.heads[1].seen == "heads.1" and net.heads[0][0].seen == "heads.0.0"


def test_a_module_shared_by_two_parents_is_named_by_the_one_that_calls_it():
    class Net(nn.Module):
        def __init__(self, probe):
            self.mine = probe

        def forward(self, x):
            self.mine(x)
            return self.mine.seen

    probe = Probe()
    first, second = Net(probe), Net(probe)
    second.other = second.__dict__.pop("mine")
    second.forward = lambda x: second.other(x) and second.other.seen
    assert [first(1), second(1), first(1)] == ["mine", "other", "mine"]


def test_a_module_held_twice_runs_under_its_first_name():
    class Net(nn.Module):
        def __init__(self):
            self.first = Probe()
            self.second = self.first

        def forward(self, x):
            return self.second(x)

    net = Net()
    net(1)
    assert net.first.seen == "first"


def test_a_slice_of_a_sequential_names_its_own_children():
    model = nn.Sequential(Probe(), Probe(), Probe())
    tail = model[1:]
    for container, expected in ((tail, ["0", "1"]), (model, ["0", "1", "2"]), (tail, ["0", "1"])):
        container(1)
        assert [probe.seen for probe in container] == expected


def test_a_module_of_nobody_runs_in_the_scope_of_its_caller():
    class Net(nn.Module):
        def __init__(self):
            self.part = Caller()

        def forward(self, x):
            return self.part(x)

    class Caller(nn.Module):
        def forward(self, x):
            probe = Probe()
            probe(x)
            return probe.seen

    assert Net()(1) == "part"


def test_the_scope_closes_after_an_error_and_threads_do_not_mix():
    class Failing(nn.Module):
        def forward(self, x):
            raise KeyError("inside")

    class Net(nn.Module):
        def __init__(self):
            self.probe, self.failing = Probe(), Failing()

        def forward(self, x):
            worker = threading.Thread(target=self.probe, args=(x,))
            worker.start()
            worker.join()
            return self.failing(x)

    net = Net()
    with pytest.raises(KeyError, match="inside"):
        net(1)
    assert tg.state.current().scope is None
    assert net.probe.seen == "probe"  # as when a program calls a part by itself
    probe = Probe()
    probe(1)
    assert probe.seen == ""


def test_tensors_are_named_after_their_attributes():
    model = Branches()
    model.scales.append(nn.Parameter([3.0]))
    model.parameters()
    assert model.first.weight.name == "weight"  # its first name
    assert [scale.name for scale in model.scales] == ["scales.0", "scales.1", "scales.2"]
    assert model.mean.name == "mean"
    own = nn.Parameter([1.0])
    own.name = "theta"
    model.extra = own
    assert own.name == "theta"


def test_a_trace_names_scopes_and_parameters():
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.ReLU())
    with tg.trace() as step:
        model(np.ones((1, 2), np.float32)).sum().backward()
    assert step.scopes["0"] == "Linear" and step.scopes["1"] == "ReLU"
    assert {"0.weight", "0.bias"} <= {value.name for value in step.values}


# -- state ---------------------------------------------------------------------------------------------------------


def test_state_round_trips_and_is_copied():
    source, target = Branches(), Branches()
    state = source.state_dict()
    state["mean"][:] = 7
    for array in state.values():
        array += 1
    assert not source.mean.data.any()
    version = target.first.weight.version
    target.load_state_dict(state)
    for name, array in target.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
        assert array.dtype == np.float32
    assert target.first.weight.version > version
    state["mean"][:] = 0
    np.testing.assert_array_equal(target.mean.data, 8)


def test_loading_lists_everything_that_does_not_fit_and_changes_nothing():
    model = Branches()
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    del state["first.bias"], state["scales.1"]
    state["frist.bias"] = np.zeros(4)
    state["heads.left.weight"] = np.zeros((4, 2))
    state["mean"] = np.zeros(3, complex)
    with pytest.raises(ValueError) as caught:
        model.load_state_dict(state)
    message = str(caught.value)
    assert "missing: first.bias, scales.1" in message and "unexpected: frist.bias" in message
    assert "heads.left.weight has shape (4, 2), needs (2, 4)" in message and "mean has dtype complex128" in message
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_loading_loosely_reports_names_but_still_refuses_shapes():
    model = nn.Linear(2, 2, init=nn.init.zeros())
    difference = model.load_state_dict({"weight": np.ones((2, 2)), "extra": np.ones(1)}, strict=False)
    assert difference.missing == ["bias"] and difference.unexpected == ["extra"]
    assert model.weight.data.all() and model.weight.dtype == np.float32
    with pytest.raises(ValueError, match="needs"):
        model.load_state_dict({"weight": np.ones(2)}, strict=False)
    with pytest.raises(TypeError, match="dict of arrays"):
        model.load_state_dict([1, 2])


def test_two_tensors_of_one_name_are_refused():
    model = nn.Sequential()
    model.parts = {"1": nn.Parameter([1.0]), 1: nn.Parameter([2.0])}
    with pytest.raises(ValueError, match=r"two tensors are called 'parts.1'"):
        model.state_dict()


def test_loading_keeps_the_memory_order():
    model = nn.Linear(3, 4)
    tg.assign(model.weight, np.asarray(model.weight.data, order="F"))
    model.load_state_dict(model.state_dict())
    assert model.weight.data.flags.f_contiguous


# -- modes, gradients, representation ------------------------------------------------------------------------------


def test_modes_reach_the_whole_tree():
    model = Branches()
    assert model.eval() is model and not any(module.training for module in model.modules())
    assert model.train() is model and all(module.training for module in model.modules())


def test_zero_grad_sets_none():
    model = nn.Linear(2, 1)
    model([[1.0, 2.0]]).sum().backward()
    assert model.weight.grad is not None
    model.zero_grad()
    assert model.weight.grad is None and model.bias.grad is None


def test_representation_is_a_tree():
    class Net(nn.Module):
        def __init__(self):
            self.body = nn.Sequential(nn.Conv2D(1, 2, 3), nn.MaxPool2D(2))
            self.heads = [nn.Linear(8, 2, bias=False)]
            self.scale = nn.Parameter([1.0])

    assert repr(Net()) == (
        "Net(\n"
        "  body: Sequential(\n"
        "    0: Conv2D(1, 2, kernel_size=3)\n"
        "    1: MaxPool2D(2)\n"
        "  )\n"
        "  heads.0: Linear(8, 2, bias=False)\n"
        "  scale: Parameter (1,) float32\n"
        ")"
    )


# -- Parameter, and mistakes ---------------------------------------------------------------------------------------


def test_a_parameter_keeps_the_dtype_of_its_array():
    assert nn.Parameter(np.zeros(2)).dtype == np.float64
    assert nn.Parameter([0.5]).dtype == np.float32
    assert nn.Parameter([0.5], dtype=np.float64).dtype == np.float64
    assert not nn.Parameter([0.5], requires_grad=False).requires_grad
    with pytest.raises(TypeError, match="cannot require a gradient"):
        nn.Parameter([1, 2])


def test_a_frozen_parameter_is_still_a_parameter():
    model = nn.Linear(2, 1, init=nn.init.constant(1.0))
    model.weight.requires_grad = False
    model([[1.0, 2.0]]).sum().backward()
    assert model.parameters()[0] is model.weight and model.weight.grad is None and model.bias.grad is not None


def test_a_plain_tensor_that_wants_a_gradient_is_refused():
    model = nn.Sequential()
    with pytest.raises(TypeError, match=r"weight is a Tensor that requires a gradient but no nn.Parameter"):
        model.weight = tg.Tensor([1.0], requires_grad=True)
    assert not hasattr(model, "weight")
    model.weights = []
    model.weights.append(tg.Tensor([1.0], requires_grad=True))
    with pytest.raises(TypeError, match=r"weights.0 is a Tensor"):
        model.parameters()


def test_a_set_of_modules_is_refused():
    with pytest.raises(TypeError, match="layers is a set of modules or tensors, and a set has no order"):
        nn.Sequential().layers = {nn.ReLU()}


def test_values_made_by_primitives_and_constants_may_be_attributes():
    model = nn.Linear(2, 2)
    model.last = model([[1.0, 2.0]])
    model.constant = tg.Tensor([1.0])
    assert len(model.parameters()) == 2


@pytest.mark.parametrize("value", [np.zeros((2, 2)), tg.Tensor(np.zeros((2, 2))), 1.0])
def test_a_value_does_not_replace_a_parameter_or_buffer(value):
    model = nn.Linear(2, 2)
    model.mean = nn.Buffer([0.0])
    with pytest.raises(TypeError, match=r"Linear.weight is a Parameter.*tg.assign\(module.weight, value\)"):
        model.weight = value
    with pytest.raises(TypeError, match=r"Linear.mean is a Buffer"):
        model.mean = value
    model.weight = nn.Parameter(np.zeros((2, 2)))
    model.bias = None
    assert len(model.parameters()) == 1


def test_a_module_without_forward_says_so():
    class Net(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Net defines no forward"):
        Net()(1)


def test_sequential_takes_modules_and_is_a_sequence():
    with pytest.raises(TypeError, match=r"the class ReLU: make one with ReLU\(...\)"):
        nn.Sequential(nn.Linear(2, 2), nn.ReLU)
    with pytest.raises(TypeError, match="takes modules"):
        nn.Sequential([nn.ReLU()])
    layers = [nn.Linear(2, 2), nn.ReLU(), nn.Tanh()]
    model = nn.Sequential(*layers)
    assert len(model) == 3 and list(model) == layers and model[-1] is layers[2] and list(model[:2]) == layers[:2]
    assert model.append(nn.Sigmoid()) is model and type(model[3]) is nn.Sigmoid
    assert list(nn.Sequential()) == [] and nn.Sequential()(5) == 5
