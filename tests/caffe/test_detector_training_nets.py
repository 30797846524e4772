"""Deploy nets of detectors that train with Python layers: targets and samples go, what predicts stays."""

from __future__ import annotations

from caffeport.caffe.deploy import deploy, needs_deploy
from caffeport.caffe.net import build_net
from caffeport.caffe.text import parse_text

NET = """
layer { name: "in" type: "Python" top: "data" top: "im_info" top: "gt_boxes"
        python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "cls" type: "Convolution" bottom: "conv" top: "cls" convolution_param { num_output: 18 kernel_size: 1 } }
layer { name: "box" type: "Convolution" bottom: "conv" top: "box" convolution_param { num_output: 36 kernel_size: 1 } }
layer { name: "anchors" type: "Python" bottom: "cls" bottom: "gt_boxes" bottom: "im_info" top: "rpn_labels"
        python_param { module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer" } }
layer { name: "rpn_loss" type: "SoftmaxWithLoss" bottom: "cls" bottom: "rpn_labels" top: "rpn_loss" }
layer { name: "proposal" type: "Python" bottom: "cls" bottom: "box" bottom: "im_info" top: "rpn_rois"
        python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" } }
layer { name: "sample" type: "Python" bottom: "rpn_rois" bottom: "gt_boxes" top: "rois" top: "labels"
        python_param { module: "rpn.proposal_target_layer" layer: "ProposalTargetLayer" } }
layer { name: "pool" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "pool"
        roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.5 } }
layer { name: "score" type: "InnerProduct" bottom: "pool" top: "score" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLossOHEM" bottom: "score" bottom: "labels" top: "loss" top: "prob" top: "each" }
layer { name: "hard" type: "BoxAnnotatorOHEM" bottom: "rois" bottom: "each" bottom: "labels" top: "hard_labels" }
"""


def test_targets_and_samples_go() -> None:
    net = deploy(parse_text(NET), shapes={"data": (1, 3, 32, 32), "im_info": (1, 3)})
    kinds = {layer.name: layer.type for layer in net}
    assert not kinds.keys() & {"in", "anchors", "sample", "hard"}
    assert net.layer("pool").bottoms == ("conv", "rpn_rois")
    assert [layer.tops for layer in net if layer.type == "Input"] == [("data",), ("im_info",)]
    assert (kinds["loss"], kinds["rpn_loss"]) == ("Softmax", "Softmax")


def test_a_net_without_inputs_in_its_phase_is_a_training_net() -> None:
    text = NET.replace('top: "gt_boxes"', 'top: "gt_boxes" include { phase: TRAIN }', 1)
    test = build_net(parse_text('layer { name: "c" type: "ReLU" bottom: "data" top: "c" }'), "net")
    assert needs_deploy(test)
    assert any(
        layer.name == "pool" for layer in deploy(parse_text(text), shapes={"data": (1, 3, 9, 9), "im_info": (1, 3)})
    )
