"""Use the network alone, in a training of your own: neither Qt nor napari is needed.

Unlabelled pixels have no influence on the loss, so that strokes are enough.
"""

import numpy as np
import torch

from napari_unet.config import UNetConfig
from napari_unet.core import (
    IGNORE_INDEX,
    UNet,
    evaluate,
    load_model,
    save_model,
    sparse_loss,
)
from napari_unet.sample import load_sample

torch.manual_seed(0)
sample = load_sample("nuclei")
rows, columns = slice(0, 256), slice(0, 320)  # sides that 2^depth divides
image = sample.image.astype(np.float32)
image = (image - image.mean()) / image.std()
inputs = torch.from_numpy(image)[None, None, rows, columns]  # (B, C, Y, X)
classes = sample.strokes[None, rows, columns].astype(np.int64) - 1
targets = torch.from_numpy(np.where(classes < 0, IGNORE_INDEX, classes))  # (B, Y, X)

unet = UNet(UNetConfig(in_channels=1, n_classes=2, base_channels=8, depth=3))
optimiser = torch.optim.AdamW(unet.parameters(), lr=3e-3)
for _ in range(30):
    loss = sparse_loss(unet(inputs), targets)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
print(f"loss {loss.item():.3f}")

save_model("unet.safetensors", unet, extra={"made by": "an example"})
unet = load_model("unet.safetensors").eval()
with torch.no_grad():
    labels = unet(inputs).argmax(dim=1)[0].numpy() + 1
score = evaluate(labels, sample.truth[rows, columns])
print(f"mean IoU {score['mean_iou']:.3f}, from random weights")
