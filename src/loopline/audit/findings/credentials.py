"""Credentials in a text: where each stands and of what kind it is; the value never leaves this module.

A value counts where its form is unmistakable (`ghp_…`, a PEM block) or where what stands before it says what it is: a
W&B key is forty hexadecimal digits, and so is a commit. Look-alikes are told apart by that context: hashes of commits,
digests of locks and data versions, ids of notebook cells, placeholders, references to a secret store.
"""

from __future__ import annotations

import math
import re
import string
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from loopline.core.store import digest_bytes

Kind = Literal["wandb", "cloud", "private key", "kaggle", "codecov", "service", "address", "value"]
HIDDEN = "•••"
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# What stands before a value is looked at this far, the two lines above included.
_CONTEXT_CHARACTERS = 240


@dataclass(frozen=True)
class Credential:
    """One credential in a text: what it is in words, its line, and a digest that tells whether two are the same."""

    kind: Kind
    what: str
    line: int
    start: int
    end: int
    digest: str

    @property
    def num_characters(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Context:
    """What stands around a value: the lines above it, its own line before it, and its file's path."""

    above: str
    before: str
    path: str
    text: str

    def says(self, pattern: re.Pattern[str]) -> bool:
        """Whether the own line, or else one of the lines above, matches."""
        return bool(pattern.search(self.before) or pattern.search(self.above))


@dataclass(frozen=True)
class _Detector:
    """One form of credential and the doubts about it.

    One of `words` must be in the text, in any case. Where `is_anchored`, the form begins with one of them, which is
    what makes a search through megabytes of a notebook's pictures quick.
    """

    kind: Kind
    what: str
    words: tuple[str, ...]
    form: re.Pattern[str]
    # None: the form says it all.
    accepts: Callable[[str, Context], bool] | None = None
    is_anchored: bool = True
    # None: any number.
    num_characters: int | None = None

    def may_be_in(self, lower: str) -> bool:
        """Whether one of the words is in the text, which is given in lower case."""
        return any(word in lower for word in self.words)

    def matches(self, text: str, lower: str) -> Iterator[re.Match[str]]:
        """Every place of the form."""
        if not self.is_anchored:
            yield from self.form.finditer(text)
            return
        for word in self.words:
            start = lower.find(word)
            while start >= 0:
                if match := self.form.match(text, start):
                    yield match
                start = lower.find(word, start + 1)


def find_credentials(path: str, text: str) -> Iterator[Credential]:
    """Every credential in a file's text, one for each place. Never raises."""
    # Letters such as `İ` get longer in lower case, and places would move.
    lower = lowered if len(lowered := text.lower()) == len(text) else text.translate(_LOWER)
    starts: list[int] = []
    taken: list[tuple[int, int]] = []
    # Several detectors share a form, and a lock has ten thousand digests.
    places: dict[re.Pattern[str], list[re.Match[str]]] = {}
    for detector in _DETECTORS:
        if not detector.may_be_in(lower):
            continue
        if detector.form not in places:
            places[detector.form] = list(detector.matches(text, lower))
        for match in places[detector.form]:
            start, end = match.span("value")
            if detector.num_characters not in (None, end - start):
                continue
            if any(start < other_end and other_start < end for other_start, other_end in taken):
                continue
            starts = starts or [0, *(newline.end() for newline in re.finditer("\n", text))]
            number = bisect_right(starts, start)
            context = _context(path, text, start, starts[number - 1])
            if detector.accepts is None or detector.accepts(text[start:end], context):
                taken.append((start, end))
                digest = digest_bytes(text[start:end].encode("utf-8", "surrogatepass"))
                yield Credential(detector.kind, detector.what, number, start, end, digest)


def hide_credentials(text: str) -> str:
    """The text with every credential in it replaced, so that it can be shown."""
    for found in sorted(find_credentials("", text), key=lambda found: found.start, reverse=True):
        text = text[: found.start] + HIDDEN + text[found.end :]
    return text


def entropy_bits(value: str) -> float:
    """Shannon's entropy of a text's characters, in bits a character."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())


def _context(path: str, text: str, start: int, line_start: int) -> Context:
    before = text[max(line_start, start - _CONTEXT_CHARACTERS) : start]
    # Each line above is cut on its own: a notebook's picture is one line of a million characters.
    above: list[str] = []
    end = line_start - 1
    while end > 0 and len(above) < 2:
        previous = text.rfind("\n", 0, end) + 1
        above.insert(0, text[previous : min(end, previous + _CONTEXT_CHARACTERS)])
        end = previous - 1
    return Context("\n".join(above), before, path, text)


_PLACEHOLDER = re.compile(
    r"your|example|placeholder|changeme|change[_-]me|insert|replace|dummy|fake|sample|redacted|secret[_-]?key[_-]?here|"
    r"xxxx|\*\*\*|\.\.\.|1234567|abcdef|deadbeef|0{8}|test[_-]?(key|token)|<|todo|not[_-]?a[_-]?real",
    re.IGNORECASE,
)
_KEY_WORD = re.compile(
    r"wandb|w&b|weights\s*(and|&)\s*biases|api[_-]?key|apikey|re?login|auth|token|secret|passw|credential|access[_-]?key",
    re.IGNORECASE,
)
# A hexadecimal number after one of these is a name of some content.
_HASH_WORD = re.compile(
    r"commit|\bsha\d*\b|sha\d{1,3}|digest|revision|\brev\b|hash|checksum|md5|etag|\btree\b|\bref\b|blob|@\s*$|/$|"
    r"git\+|fingerprint|[<>=|]{7}\s*$|\bfrom\s*$|hexsha|\bid[\"']?\s*[:=]",
    re.IGNORECASE,
)
_WANDB = re.compile(r"wandb|weights\s*(and|&)\s*biases", re.IGNORECASE)
_KEY_NAME = re.compile(r"(key|value|token|password|secret|login|relogin)\W{0,6}$|^\W*$", re.IGNORECASE)
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_CODECOV = re.compile(r"codecov", re.IGNORECASE)
_KAGGLE = re.compile(r"kaggle|[\"']username\\?[\"']", re.IGNORECASE)


def _is_real(value: str, _: Context) -> bool:
    """No placeholder, and not one character over and over."""
    return not _PLACEHOLDER.search(value) and entropy_bits(value) >= 2.5


def _is_no_page_key(value: str, context: Context) -> bool:
    """A key in a web page is shown to every reader of that page on purpose."""
    return _is_real(value, context) and not re.search(r"<(!doctype html|html|script)\b", context.text, re.IGNORECASE)


def _is_wandb_key(value: str, context: Context) -> bool:
    return _is_key_of(value, context, _WANDB)


def _is_kaggle_key(value: str, context: Context) -> bool:
    return _is_key_of(value, context, _KAGGLE) or ("kaggle" in context.path.lower() and _is_named_key(value, context))


def _is_codecov_token(value: str, context: Context) -> bool:
    return _is_real(value, context) and context.says(_CODECOV) and bool(_NAMED_TOKEN.search(context.before))


_NAMED_TOKEN = re.compile(r"token|(^|\s)-t\s|codecov", re.IGNORECASE)


def _is_key_of(value: str, context: Context, owner: re.Pattern[str]) -> bool:
    """Whether a hexadecimal value is the owner's key: the owner is named before it, and no hash is."""
    if not _is_real(value, context):
        return False
    tail = context.before[-60:]
    if re.search(r"(?:wandb|kaggle)[\w.]*(?:key|login|token)[^a-zA-Z]*(?:key\W*)?$", tail, re.IGNORECASE):
        return True
    return context.says(owner) and _is_named_key(value, context)


def _is_named_key(value: str, context: Context) -> bool:
    tail = context.before[-60:]
    return bool(_is_real(value, context) and _KEY_NAME.search(tail) and not _HASH_WORD.search(tail))


def _is_named_secret(value: str, context: Context) -> bool:
    """A hexadecimal number that its own line calls a key, a token, a password."""
    tail = context.before[-60:]
    return bool(_is_real(value, context) and _KEY_WORD.search(tail) and _KEY_NAME.search(tail)) and not bool(
        _HASH_WORD.search(tail) or _NO_SECRET_NAME.search(tail)
    )


# Names in which `token` or `key` is a word of language models, caches or public halves.
_NO_SECRET_NAME = re.compile(
    r"(pad|bos|eos|unk|sep|cls|mask|start|end|stop|special|image|next|max|min|num|n|input|output|added|prompt|total)"
    r"[\w-]*[_-]?tokens?\b|token(ize\w*|s?[_-]?(id|ids|type|len\w*|count|limit|url|uri|path|file|name))\b|"
    r"public[_-]?key|key[_-]?(id|name|path|file|type|vault)|(secret|password|token)[_-]?(name|path|file|id|ref|url|key[_-]?ref)\b|"
    r"cache[_-]?key|restore[_-]?keys?|primary[_-]?key|foreign[_-]?key|sort[_-]?key",
    re.IGNORECASE,
)


def _is_random(value: str, context: Context) -> bool:
    """A value after a name of a secret that nobody would type: mixed characters, high entropy, no words."""
    if _PLACEHOLDER.search(value) or _NO_SECRET_NAME.search(context.before[-60:]):
        return False
    if len(re.findall(r"\d", value)) < 2 or not re.search(r"[A-Za-z]", value):
        return False
    # `projects/my-name-401218` changes seldom between letters and digits; a random value all the time.
    changes = len(re.findall(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)", value))
    words = re.findall(r"[a-z]{5,}|[A-Z][a-z]{4,}", value)
    least = 3.0 if re.fullmatch(r"[0-9a-fA-F]+", value) else 3.5
    return changes >= 3 and entropy_bits(value) >= least and sum(map(len, words)) < len(value) / 3


_WEAK = re.compile(
    r"(pass(word|wd)?|secret|postgres|root|admin|guest|user(name)?|token|pwd|git|mlflow|minio\w*)\d{0,3}"
)


def _is_password(value: str, _: Context) -> bool:
    """The password in an address, unless it is a word of examples."""
    return not (_PLACEHOLDER.search(value) or _WEAK.fullmatch(value.lower()) or value.isupper() or "%(" in value)


def _form(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """A form that stands on its own, not inside of a longer word."""
    return re.compile(rf"(?<![A-Za-z0-9_])(?P<value>{pattern})(?![A-Za-z0-9_])", flags)


# Whole runs of digits, never a part of one: a lock's thousands of digests are passed over in one go.
_HEXADECIMAL = re.compile(r"(?P<value>[0-9a-f]{32,64}+)(?![\w+/-])")


_SERVICES = (
    ("a GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{36,}"),
    ("a GitHub token", ("github_pat_",), r"github_pat_\w{60,}"),
    ("a GitLab token", ("glpat-",), r"glpat-[\w-]{20,}"),
    ("a Hugging Face token", ("hf_",), r"hf_[A-Za-z0-9]{30,40}"),
    ("an API key of a language model", ("sk-",), r"sk-(?:(?:proj|svcacct|ant)-[\w-]{32,}|[A-Za-z0-9]{32,})"),
    ("a Slack token", ("xox",), r"xox[abeprs]-[\w-]{20,}"),
    ("a Slack webhook", ("hooks.slack.com",), r"hooks\.slack\.com/services/T\w{6,}/B\w{6,}/\w{20,}"),
    ("a Discord webhook", ("api/webhooks/",), r"discord(?:app)?\.com/api/webhooks/\d+/[\w-]{60,}"),
    ("a Stripe key", ("k_live_",), r"[sr]k_live_\w{20,}"),
    ("a SendGrid key", ("sg.",), r"SG\.[\w-]{16,}\.[\w-]{30,}"),
    ("a token of a package index", ("npm_", "pypi-age"), r"npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{60,}"),
    ("a Docker Hub token", ("dckr_pat_",), r"dckr_pat_[\w-]{20,}"),
    ("a Databricks token", ("dapi",), r"dapi[0-9a-f]{32}(?:-\d)?"),
    ("a Neptune token", ("eyjhcglfywrkcmvzcyi6",), r"eyJhcGlfYWRkcmVzcyI6[\w+/=]{40,}"),
)
_CLOUDS = (
    ("an AWS access key", ("akia", "asia"), r"(?:AKIA|ASIA)[0-9A-Z]{16}"),
    ("a Google OAuth secret", ("gocspx-",), r"GOCSPX-[\w-]{28}"),
    ("a Google refresh token", ("1//0",), r"1//0[\w-]{40,}"),
    ("an Azure storage key", ("accountkey=",), r"AccountKey=[A-Za-z0-9+/]{86}=="),
)
# The body follows on new lines, which JSON and code spell `\n`, once or twice escaped.
_PEM = (
    r"-----BEGIN (?:[A-Z]{2,9} )?PRIVATE KEY(?: BLOCK)?-----(?:\s|\\+n|[\"'+])*"
    r"(?P<value>(?:[A-Za-z0-9+/=]|\s|\\+n|[\"']){64,})"
)
_ASSIGNED = re.compile(
    r"(?:secret|token|passwd|password|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?key|credential)[\w-]{0,30}"
    r"\\?[\"']?\]?\s{0,8}(?::=|=>|[:=,]|\s)\s{0,8}(?:[rbfu]?\\?[\"'])?(?P<value>[A-Za-z0-9+/_=~-]{20,128})(?![\w(.\[/])",
    re.IGNORECASE,
)
_SECRET_WORDS = ("secret", "token", "passw", "api_key", "api-key", "apikey", "access", "private", "auth", "credential")
_ADDRESS = re.compile(
    r"://[^\s:/@\"'<>{}$]{1,64}:(?P<value>[^\s@/\"'{}$<>\\]{6,100})@(?!localhost|127\.|0\.0\.0\.0)(?=[\w.-]+\.\w|\d)"
)
_ACCOUNT = re.compile(rf"service_account\"[\s\S]{{0,400}}?\"private_key\":\s*\"{_PEM}")


def _hexadecimal(kind: Kind, what: str, num_digits: int, accepts: Callable[[str, Context], bool]) -> _Detector:
    """A key of so many digits, with the prefix of a W&B server of one's own or without."""

    def stands_alone(value: str, context: Context) -> bool:
        before = context.before.removesuffix("local-")
        return not re.search(r"[\w+/#-]$", before) and accepts(value, replace(context, before=before))

    words = ("wandb", "weights", "kaggle", "username", "key", *_SECRET_WORDS)
    return _Detector(kind, what, words, _HEXADECIMAL, stands_alone, is_anchored=False, num_characters=num_digits)


# The first detector that takes a place names it, so the particular stand before the general.
_DETECTORS = (
    _Detector("cloud", "a key file of a Google service account", ("service_account",), _ACCOUNT),
    _Detector("private key", "a private key", ("-----begin",), re.compile(_PEM)),
    *(_Detector("cloud", what, words, _form(form), _is_real) for what, words, form in _CLOUDS),
    _Detector("cloud", "a Google API key", ("aiza",), _form(r"AIza[\w-]{35}"), _is_no_page_key),
    *(_Detector("service", what, words, _form(form), _is_real) for what, words, form in _SERVICES),
    _Detector("wandb", "a W&B API key", ("wandb_v",), _form(r"wandb_v\d+_\w{40,}"), _is_real),
    _hexadecimal("wandb", "a W&B API key", 40, _is_wandb_key),
    _Detector("kaggle", "a Kaggle token", ("kgat_",), _form(r"KGAT_[0-9a-f]{32}"), _is_real),
    _hexadecimal("kaggle", "a Kaggle API key", 32, _is_kaggle_key),
    _Detector("codecov", "a Codecov token", ("codecov",), _form(_UUID), _is_codecov_token, is_anchored=False),
    _Detector("address", "a password in an address", ("://",), _ADDRESS, _is_password),
    _hexadecimal("value", "a secret", 32, _is_named_secret),
    _hexadecimal("value", "a secret", 40, _is_named_secret),
    _Detector("value", "a secret", _SECRET_WORDS, _ASSIGNED, _is_random),
)
