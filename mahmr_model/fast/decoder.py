# Copyright 2026 MAHMR maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Decoder and heads in stages of fixed shapes, with folded weights."""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.decoder.layer import DecoderLayer, NORM_EPS
from mahmr_model.decoder.query_decoder import QueryDecoder
from mahmr_model.fast.encoder import Encoded
from mahmr_model.fast.folding import (
    Affine,
    batched,
    FoldedDecoderLayer,
    HeadProducts,
    mlp_layers,
    side_by_side,
    stacked,
)
from mahmr_model.fast.ops import (
    add_normalised,
    attention_weights,
    Beside,
    box_codes,
    modulated_code,
    refined_boxes,
    wide_product,
)
from mahmr_model.mlp import MLP
from mahmr_model.network import LayerPrediction, MAHMR
import torch
from torch import Tensor
import torch.nn.functional as functional

YXHW = (1, 0, 3, 2)
"""Boxes are (y, x, h, w) in here, the order of their sine codes; turned back at the end."""
_ANCHOR_ROWS = 8
"""The two anchor numbers are padded to this many rows: kernels want multiples of it."""


@dataclass(frozen=True)
class Decoded:
    """What the decoder says of every query."""

    hidden: Tensor
    """(L, B·Q, d) every layer's queries, normalised, the decoder norm's factors not applied."""
    boxes_yxhw_norm: Tensor
    """(B·Q, 4) after the last layer, float32."""


@dataclass(frozen=True)
class _Start:
    """What is known of the first layer before any picture comes: its queries are learnt."""

    queries: Tensor
    """(Q, d) float32, after self-attention."""
    look_content: Tensor
    """(Q, heads·C) what they look for in features."""
    look_place: Tensor
    """(Q, heads·d) and in position codes."""
    boxes_yxhw_norm: Tensor
    """(Q, 4)."""


class FastDecoder:
    """The query decoder with folded weights."""

    def __init__(self, network: MAHMR, dtype: torch.dtype) -> None:
        decoder = network.decoder['decoder']
        assert isinstance(decoder, QueryDecoder)
        self.dtype = dtype
        self.queries = network.config.queries
        self.heads = network.config.decoder_heads
        self.omega = network.omega
        features = Affine.of(network.feature_proj).after(Affine.of(network.encoder.norm))
        layers: list[FoldedDecoderLayer] = []
        for index, layer in enumerate(decoder.layers):
            assert isinstance(layer, DecoderLayer)
            products = HeadProducts(layer, features)
            if index == 0:
                self.start = _start(network, decoder, layer, products, dtype)
            layers.append(_fold_layer(decoder, index, layer, products, dtype))
        self.layers = layers
        self._beside = Beside(self.omega.device)

    def empty(self, batch: int) -> Decoded:
        """Return room for what is decoded of `batch` pictures."""
        count, d = batch * self.queries, self.start.queries.shape[1]
        numbers = torch.zeros(len(self.layers), count, d, dtype=self.dtype)
        device = self.start.queries.device
        return Decoded(numbers.to(device), torch.zeros(count, 4, device=device))

    def __call__(self, encoded: Encoded, batch: int) -> Decoded:
        """Decode the queries of `batch` pictures."""
        start = self.start
        x = start.queries.repeat(batch, 1)
        boxes = start.boxes_yxhw_norm.repeat(batch, 1)
        look_content = start.look_content.repeat(batch, 1)
        look_place = start.look_place.repeat(batch, 1)
        hidden: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            if index:
                own = x.to(self.dtype, copy=True)  # x changes while the second queue reads it
                with self._beside():
                    modulation = layer.modulation_out(layer.modulation_in.relu(own))
                boxes = _refined(self.layers[index - 1], hidden[-1], boxes)
                with self._beside():
                    sine = modulated_code(boxes, self.omega, modulation)
                    look_place = layer.look_place(sine)
            with self._beside():
                place_scores = self._scores(look_place, encoded.codes)
            if index:
                n = self._attend_queries(layer, x, hidden[-1], boxes, batch)
                look_content = layer.look_content(n)
            content_scores = self._scores(look_content, encoded.features)
            self._beside.join()
            weights = attention_weights(
                content_scores, place_scores, encoded.hidden_keys, self.dtype
            )
            seen = (weights @ encoded.features).view(len(x), -1)
            n = add_normalised(x, layer.look_out(seen), NORM_EPS)
            hidden.append(add_normalised(x, layer.linear2(layer.linear1.relu(n)), NORM_EPS))
        return Decoded(torch.stack(hidden), _refined(self.layers[-1], hidden[-1], boxes))

    def _attend_queries(
        self, layer: FoldedDecoderLayer, x: Tensor, n: Tensor, boxes: Tensor, batch: int
    ) -> Tensor:
        """
        Let the queries of a picture look at each other.

        Adds to the stream x (BQ, d), of which n is the normalised one; returns it normalised.
        """
        place = layer.self_place(layer.place.relu(box_codes(boxes, self.omega, self.dtype)))
        qkv = torch.addmm(place, n, layer.self_content.T)
        shape = (batch, self.queries, 3, self.heads, -1)
        q, k, v = qkv.view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(q, k, v)
        change = layer.self_out(attended.transpose(1, 2).flatten(2).flatten(0, 1))
        return add_normalised(x, change, NORM_EPS)

    def _scores(self, look: Tensor, tokens: Tensor) -> Tensor:
        """Return each head's scores (BQ·heads, T), float32, of look (BQ, heads·c) and (T, c)."""
        return wide_product(look.view(len(look) * self.heads, -1), tokens.T)


def _refined(layer: FoldedDecoderLayer, n: Tensor, boxes: Tensor) -> Tensor:
    """Return boxes (BQ, 4) moved by what the queries say."""
    first, second, last = layer.box
    return refined_boxes(second.relu(first.relu(n)), last, boxes)


class FastHeads:
    """All layers' pose and shape heads at once, and the last layer's other heads."""

    def __init__(self, network: MAHMR, dtype: torch.dtype) -> None:
        decoder = network.decoder['decoder']
        assert isinstance(decoder, QueryDecoder)
        norm = Affine.of(decoder.norm)
        poses = [_after_norm(head, norm) for head in network.pose_head]
        shapes = [_after_norm(head, norm) for head in network.shape_head]
        self.layer_count = len(poses)
        common = len(shapes[0]) - 1
        both = [*poses, *shapes]
        self.common = [batched([mlp[i] for mlp in both]).ready(dtype) for i in range(common)]
        self.pose = [
            batched([mlp[i] for mlp in poses]).ready(dtype)
            for i in range(common, len(poses[0]) - 1)
        ]
        self.pose_last = batched([mlp[-1] for mlp in poses]).ready(torch.float32)
        self.shape_last = batched([mlp[-1] for mlp in shapes]).ready(torch.float32)
        self.camera = [layer.ready(torch.float32) for layer in _after_norm(network.cam_head, norm)]
        self.confidence = Affine.of(network.conf_head).after(norm).ready(torch.float32)
        self.mean_pose = network.mean_pose
        self.mean_shape = network.mean_shape
        self._beside = Beside(self.mean_shape.device)

    def __call__(self, decoded: Decoded, batch: int) -> LayerPrediction:
        """Read people off the queries; pose and shape are sums over the layers."""
        first, second, camera = self.camera
        with self._beside():
            last = decoded.hidden[-1].float()
            confidence = self.confidence(last)[:, 0]
            camera_abc = camera(second.relu(first.relu(last)))
        x = decoded.hidden.repeat(2, 1, 1)
        for layer in self.common:
            x = layer.relu(x)
        pose, shape = x.split(self.layer_count)
        for layer in self.pose:
            pose = layer.relu(pose)
        self._beside.join()
        numbers = {
            'pose_6d': self.mean_pose + self.pose_last(pose.float()).sum(0),
            'betas': self.mean_shape + self.shape_last(shape.float()).sum(0),
            'boxes_cxcywh_norm': decoded.boxes_yxhw_norm.unflatten(1, (2, 2)).flip(-1).flatten(1),
            'confidence_logits': confidence,
            'camera_abc': camera_abc,
        }
        return LayerPrediction(
            **{name: value.unflatten(0, (batch, -1)) for name, value in numbers.items()}
        )


def _after_norm(mlp: object, norm: Affine) -> list[Affine]:
    assert isinstance(mlp, MLP)
    first, *others = mlp_layers(mlp)
    return [first.after(norm), *others]


def _start(
    network: MAHMR,
    decoder: QueryDecoder,
    layer: DecoderLayer,
    products: HeadProducts,
    dtype: torch.dtype,
) -> _Start:
    """Run the first layer up to its look at the tokens."""
    with torch.no_grad():
        content, box_logits = (x.float() for x in network.learnt_queries(1))
        boxes = box_logits.sigmoid()
        position, sine = decoder.query_codes(content, boxes, first=True)
        x = content + layer.attend_queries(layer.norm1(content), position, None)
        assert layer.ca_qpos_proj is not None
        queries = layer.ca_qcontent_proj(layer.norm2(x)) + layer.ca_qpos_proj(position)
        queries = queries[0].double()
        places = queries + layer.ca_qpos_sine_proj(sine)[0].double()  # k has its position, too
    identity = Affine(
        torch.eye(queries.shape[1], dtype=torch.float64, device=queries.device),
        queries.new_zeros(queries.shape[1]),
    )
    content_product = products.looking(identity, products.key).weight
    place_product = products.looking(identity, products.place_key).weight
    return _Start(
        x[0].clone(),
        (queries @ content_product.T).to(dtype),
        (places @ place_product.T).to(dtype),
        boxes[0][:, YXHW].clone(),
    )


def _fold_layer(
    decoder: QueryDecoder,
    index: int,
    layer: DecoderLayer,
    products: HeadProducts,
    dtype: torch.dtype,
) -> FoldedDecoderLayer:
    norm1, norm2, norm3 = (Affine.of(norm) for norm in (layer.norm1, layer.norm2, layer.norm3))
    place_in, place_out = mlp_layers(decoder.ref_point_head)
    scale_in, scale_out = mlp_layers(decoder.query_scale)
    anchor_in, anchor_out = mlp_layers(decoder.ref_anchor_head)
    places = stacked([Affine.of(layer.sa_qpos_proj), Affine.of(layer.sa_kpos_proj)])
    places = places.after(place_out)
    d = len(place_out.bias)
    anchors = anchor_out.rows(torch.tensor([1, 0] + [0] * (_ANCHOR_ROWS - 2)))
    content = stacked(
        [Affine.of(p) for p in (layer.sa_qcontent_proj, layer.sa_kcontent_proj, layer.sa_v_proj)]
    ).after(norm1)
    no_value = Affine(places.weight.new_zeros(d, d), places.bias.new_zeros(d))
    self_place = stacked([places, no_value])
    self_place = Affine(self_place.weight, self_place.bias + content.bias)
    box_head = decoder.bbox_embed[index]
    first, second, last = _after_norm(box_head, Affine.of(decoder.norm))
    return FoldedDecoderLayer(
        place=place_in.ready(dtype),
        self_place=self_place.ready(dtype),
        self_content=content.ready(dtype).weight,
        self_out=Affine.of(layer.sa_out_proj).ready(dtype),
        modulation_in=stacked([scale_in, anchor_in]).ready(dtype),
        modulation_out=side_by_side([scale_out, anchors]).ready(dtype),
        look_content=products.looking(
            Affine.of(layer.ca_qcontent_proj).after(norm2), products.key
        ).ready(dtype),
        look_place=products.looking(Affine.of(layer.ca_qpos_sine_proj), products.place_key).ready(
            dtype
        ),
        look_out=products.out.ready(dtype),
        linear1=Affine.of(layer.linear1).after(norm3).ready(dtype),
        linear2=Affine.of(layer.linear2).ready(dtype),
        box=(
            first.ready(dtype),
            second.ready(dtype),
            last.rows(torch.tensor(YXHW)).ready(torch.float32),
        ),
    )
