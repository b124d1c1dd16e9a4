"""The image sequence of each protocol: where it is given, what is wanted there, what is true.

Both classes have ``frame_times`` and ``pixel_coordinates``, which need no image, ``similarity`` (of
two pictures of the frames), and ``from_config``, which raises `UserError` if the image of a run
cannot be used. Of one image they know ``shape`` (H, W), ``on_pixels`` (what is wanted at the pixels
of the frames; ``pixel_frames``: one after the other), ``on_grid`` (exact fields on any grid) and
``kappa`` (of u_t = kappa (u_xx + u_yy)), all in the coordinates of the protocol's networks.
"""

from inr.config import Protocol
from inr.targets.heat_equation import Diffusion
from inr.targets.published_protocol import PublishedSequence

SEQUENCES: dict[Protocol, type[Diffusion] | type[PublishedSequence]] = {
    "corrected": Diffusion,
    "original": PublishedSequence,
}
