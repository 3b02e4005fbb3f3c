"""Class prototypes of ProKD (arXiv 2301.08855): their means, their moving average, what they say of a word."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Distance = Literal["mahalanobis", "euclidean", "cosine"]

SMALLEST_SHARE = 1e-6  # of the words; a class with less has no prototype
FULL_PASS = 2**31  # more updates than there ever are: a batch weighs gamma and no more


class ClassSums(NamedTuple):
    """Numerator and denominator of Eq. 3 or 4.

    vectors (Tensor): [n_classes, width], the weighted sums of h.
    mass (Tensor): [n_classes], the sums of the weights.
    """

    vectors: Tensor
    mass: Tensor

    def means(self) -> Tensor:
        """The prototypes [n_classes, width]; a class without mass has the zero vector."""
        return self.vectors / self.mass.clamp_min(1e-12)[:, None]


def class_sums(h: Tensor, weights: Tensor) -> ClassSums:
    """Sum word vectors by class: with one-hot gold tags Eq. 3, with probabilities Eq. 4.

    h (Tensor): [n_words, width].
    weights (Tensor): [n_words, n_classes]; no gradient flows through them, else the classifier could
        game Eq. 6.
    RETURNS (ClassSums): On the device of h.
    """
    weights = weights.detach()
    return ClassSums(weights.T @ h, weights.sum(dim=0))


def sharpen(p: Tensor, power: float) -> Tensor:
    """Sharpen probabilities: p^power, normalised; infinity gives the one-hot argmax.

    Soft weights mix words of O into the prototypes of rare classes.

    p (Tensor): [n_words, n_classes].
    RETURNS (Tensor): [n_words, n_classes].
    """
    if power == float("inf"):
        return nn.functional.one_hot(p.argmax(dim=-1), p.shape[-1]).to(p.dtype)
    powered = (p / p.amax(dim=-1, keepdim=True)) ** power  # p^power alone could underflow to 0 / 0
    return powered / powered.sum(dim=-1, keepdim=True)


class PrototypeBank(nn.Module):
    """The prototypes of one language as a slow average (Eq. 5), saved with the model.

    `mass` is each class's share of the words and `vectors / mass` its prototype; `unit` maps differences of
    vectors to units in which distances are measured, [width, width]. Numerator and denominator are averaged
    separately, so a class with little mass in a batch does not make its prototype jump. Until `1 / n < gamma`
    after n updates the average is the plain mean of what was seen: it never starts from zeros.

    n_classes (int): Number of tags, O included.
    width (int): Size of a word's vector.
    """

    vectors: Tensor
    mass: Tensor
    unit: Tensor
    updates: Tensor

    def __init__(self, n_classes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(n_classes, width))
        self.register_buffer("mass", torch.zeros(n_classes))
        self.register_buffer("unit", torch.eye(width))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def from_full_pass(self) -> bool:
        """Whether the prototypes come from a full pass, and not from the batches so far."""
        return int(self.updates) == FULL_PASS

    def present(self) -> Tensor:
        """bool [n_classes], the classes that have a prototype."""
        return self.mass > SMALLEST_SHARE

    def prototypes(self) -> Tensor:
        """float32 [n_classes, width], C in the paper."""
        return ClassSums(self.vectors, self.mass).means()

    def prior(self) -> Tensor:
        """float32 [n_classes], each class's share of the words."""
        return self.mass

    @torch.no_grad()
    def reset(self, sums: ClassSums, unit: Tensor | None = None) -> None:
        """Take the prototypes of a full pass over a corpus; from here on gamma alone weighs a new batch."""
        if unit is not None:
            self.unit.copy_(unit)
        words = sums.mass.sum()
        self.vectors.copy_(sums.vectors / words)
        self.mass.copy_(sums.mass / words)
        self.updates.fill_(FULL_PASS)

    @torch.no_grad()
    def update(self, sums: ClassSums, gamma: float) -> None:
        """Move towards a batch: C = gamma * C_batch + (1 - gamma) * C_previous (Eq. 5).

        gamma (float): Weight of the new value.
        """
        words = sums.mass.sum()
        if words <= 0:
            return
        if not self.from_full_pass:
            self.updates += 1
        weight = max(gamma, 1.0 / float(self.updates))
        self.vectors.lerp_(sums.vectors / words, weight)
        self.mass.lerp_(sums.mass / words, weight)


def straight_through(bank: PrototypeBank, batch: ClassSums, scale: float = 1.0) -> Tensor:
    """The value of the slow prototypes with the gradient of the batch's own (for Eq. 6).

    Through gamma alone, as Eq. 5 is printed, the gradient would be scaled by <= 0.005: nothing beside
    cross entropy.

    scale (float): Of the gradient; gamma for the printed reading.
    RETURNS (Tensor): [n_classes, width].
    """
    means = scale * batch.means()
    return bank.prototypes() + means - means.detach()


class Moments:
    """What one pass over a corpus gathers: class sums, and the second moment of all words.

    n_classes (int): Number of tags, O included.
    width (int): Size of a word's vector.
    """

    def __init__(self, n_classes: int, width: int, device: torch.device) -> None:
        # float64: the scatter is a small difference of large sums
        options = {"dtype": torch.float64, "device": device}
        self.sums = ClassSums(torch.zeros(n_classes, width, **options), torch.zeros(n_classes, **options))
        self.second = torch.zeros(width, width, **options)

    def add(self, h: Tensor, weights: Tensor) -> None:
        """Add words h [n_words, width] with class weights [n_words, n_classes] that sum to 1 a word."""
        h = h.double()
        self.sums = ClassSums(*(a + b for a, b in zip(self.sums, class_sums(h, weights.double()))))
        self.second += h.T @ h

    def within_class_covariance(self) -> Tensor:
        """How words scatter around the prototype of their class: [width, width]."""
        between = self.sums.means().T @ self.sums.vectors
        return (self.second - between) / self.sums.mass.sum()


def measuring_unit(covariance: Tensor, distance: Distance) -> Tensor:
    """The matrix U for which ||U (h - C)|| is the distance in units of the scatter within classes.

    Encoders differ in the norm of h, and directions in which all words scatter say little about their class.
    "mahalanobis" measures each direction by the scatter along it, "euclidean" all by their mean.

    covariance (Tensor): [width, width], within classes.
    RETURNS (Tensor): [width, width].
    """
    width = len(covariance)
    eye = torch.eye(width, dtype=covariance.dtype, device=covariance.device)
    mean = covariance.diagonal().mean().clamp_min(1e-8)  # 0 if each class has but one word
    if distance != "mahalanobis":
        return eye / mean.sqrt()
    ridge = 0.1 * mean  # a tenth of the mean variance: directions without scatter must not rule
    return torch.linalg.inv(torch.linalg.cholesky(covariance + ridge * eye))


def distances(h: Tensor, bank: PrototypeBank, distance: Distance) -> Tensor:
    """Distance of each word from each prototype.

    h (Tensor): [n_words, width].
    RETURNS (Tensor): [n_words, n_classes], L2 norms in the bank's unit, or 1 - cosine.
    """
    prototypes = bank.prototypes()
    if distance == "cosine":
        return 1.0 - nn.functional.normalize(h, dim=-1) @ nn.functional.normalize(prototypes, dim=-1).T
    return torch.cdist(h @ bank.unit.T, prototypes @ bank.unit.T)


def prototype_probabilities(d: Tensor, bank: PrototypeBank, tau: float, *, prior: bool = True) -> Tensor:
    """Class probabilities from distances: pi_k = softmax_k(log prior_k - ||h - C_k|| / tau) (Eq. 8).

    The paper prints it without the prior and so takes nine classes for equally likely where nine of ten
    words are O.

    d (Tensor): [n_words, n_classes], the distances ||h - C_k|| from the bank's prototypes.
    tau (float): Temperature (tau 2 in the paper).
    RETURNS (Tensor): [n_words, n_classes]; classes without a prototype have probability 0.
    """
    scores = -d.masked_fill(~bank.present(), torch.inf) / tau
    if prior:
        scores = scores + bank.prior().clamp_min(1e-12).log()
    return torch.softmax(scores, dim=-1)


def hybrid(pi: Tensor, p: Tensor, beta: float) -> Tensor:
    """Fuse what the prototypes and the teacher say: beta * pi + (1 - beta) * p (Eq. 10).

    pi (Tensor): [n_words, n_classes], prototype probabilities.
    p (Tensor): [n_words, n_classes], the teacher's probabilities.
    beta (float): The fuse factor; 1 leaves the teacher out.
    """
    return beta * pi + (1.0 - beta) * p
