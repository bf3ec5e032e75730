"""R23 to R30: what is sealed, and how values become bytes."""

from __future__ import annotations

from .mutation import CODEC, ENVELOPE, KEYRING, SEALING, SIGNING, broken

MUTATIONS = (
    broken(
        23,
        "the version is not authenticated",
        SEALING,
        '"\\0".join((VERSION, name, purpose))',
        '"\\0".join((name, purpose))',
    ),
    broken(
        23,
        "the cookie's name is not authenticated",
        SEALING,
        '"\\0".join((VERSION, name, purpose))',
        '"\\0".join((VERSION, purpose))',
    ),
    broken(
        23,
        "the purpose is not authenticated",
        SEALING,
        '"\\0".join((VERSION, name, purpose))',
        '"\\0".join((VERSION, name))',
    ),
    broken(
        23,
        "a signature is good for every cookie",
        SIGNING,
        '"\\0".join(("signed cookie", VERSION, name, purpose))',
        '"signed cookie"',
    ),
    broken(
        23,
        "the expiry is not checked",
        ENVELOPE,
        "return envelope if now < envelope.expires else Rejected.EXPIRED",
        "return envelope",
    ),
    broken(
        23,
        "the content is not encrypted",
        SEALING,
        "return self._head + to_text(nonce + self._encrypt(nonce, pack(envelope), self._context))",
        "tag = self._encrypt(nonce, b'', self._context + pack(envelope))\n"
        "        return self._head + to_text(nonce + pack(envelope) + tag)",
        SEALING,
        "            content = decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], self._context)\n",
        "            content = sealed[NONCE_SIZE:-TAG_SIZE]\n"
        "            decrypt(sealed[:NONCE_SIZE], sealed[-TAG_SIZE:], self._context + content)\n",
    ),
    broken(
        24,
        "what does not decrypt is taken as it is",
        SEALING,
        "            return Rejected.FORGED\n",
        "            content = sealed[NONCE_SIZE:-TAG_SIZE]\n",
    ),
    broken(
        24,
        "what is not signed is taken as it is",
        SIGNING,
        "            return Rejected.FORGED\n",
        "            pass\n",
    ),
    broken(
        24,
        "a token may be spelled in many ways",
        ENVELOPE,
        "return content if b2a_base64(content, newline=False) == text.encode() else None",
        "return content",
    ),
    broken(
        25,
        "pickles are read",
        CODEC,
        "    except Exception as error:  # a registered type's unpack may raise anything\n",
        "    except Exception as error:\n"
        "        if raw[-1:] == b'.':\n"
        "            return __import__('pickle').loads(raw)\n",
    ),
    broken(
        25,
        "pickles are written",
        CODEC,
        "    raise _refused(value)",
        "    return __import__('pickle').dumps(value)",
    ),
    broken(
        25,
        "pickle is within reach",
        CODEC,
        "from collections.abc import Callable\n",
        "import pickle\nfrom collections.abc import Callable\n",
    ),
    broken(
        26,
        "the last key signs",
        SIGNING,
        "self._head = VERSION + keyring.ids[0]",
        "self._head = VERSION + keyring.ids[-1]",
    ),
    broken(
        26,
        "the last key encrypts",
        SEALING,
        "self._head = VERSION + keyring.ids[0]",
        "self._head = VERSION + keyring.ids[-1]",
        SEALING,
        "AESGCM(keys[keyring.ids[0]]).encrypt",
        "AESGCM(keys[keyring.ids[-1]]).encrypt",
    ),
    broken(
        26,
        "only the first key verifies",
        KEYRING,
        "for name, key in self._keys.items()}",
        "for name, key in list(self._keys.items())[:1]}",
    ),
    broken(
        26,
        "the token names no key",
        KEYRING,
        'hkdf(key, b"ctxlocal key id", ID_SIZE * 3 // 4)',
        "bytes([0, 0, 0, 0, 0, number])",
    ),
    broken(27, "keys of 16 bytes", KEYRING, "if len(key) < KEY_SIZE:", "if len(key) < 16:"),
    broken(
        27,
        "one key for every purpose",
        KEYRING,
        'b"ctxlocal purpose " + purpose.encode()',
        'b"ctxlocal purpose "',
    ),
    broken(
        27, "the keys are used as they are", KEYRING, "hkdf(key, info, KEY_SIZE)", "key[:KEY_SIZE]"
    ),
    broken(
        27,
        "keys are derived each time",
        KEYRING,
        "            self._derived[purpose] = derived\n",
        "",
    ),
    broken(
        28,
        "tokens of any size are decoded",
        SEALING,
        "if len(token) > MAX_SIZE:",
        "if False:",
    ),
    broken(
        28,
        "signed tokens of any size are decoded",
        SIGNING,
        "if len(token) > MAX_SIZE:",
        "if False:",
    ),
    broken(
        28,
        "values of any size are decoded",
        CODEC,
        '    if len(raw) > MAX_BYTES:\n        raise ValueError(f"not',
        '    if False:\n        raise ValueError(f"not',
    ),
    broken(
        28, "any depth is decoded", CODEC, "> MAX_DEPTH and is_deep(raw, MAX_DEPTH):", "> len(raw):"
    ),
    broken(28, "integers of any length are read", CODEC, "if len(raw) > 20:", "if False:"),
    broken(
        28,
        "what is not authenticated is decompressed",
        ENVELOPE,
        "        content = a2b_base64(text)\n",
        "        content = a2b_base64(text)\n"
        "        if content[:1] == b'x':\n"
        "            import zlib\n\n"
        "            content = zlib.decompress(content)\n",
    ),
    broken(30, "nonces of 64 bits", SEALING, "NONCE_SIZE = 12", "NONCE_SIZE = 8"),
    broken(
        30,
        "one nonce for all",
        SEALING,
        "nonce = os.urandom(NONCE_SIZE)",
        "nonce = bytes(NONCE_SIZE)",
    ),
    broken(
        30,
        "nonces that can be predicted",
        SEALING,
        "nonce = os.urandom(NONCE_SIZE)",
        "nonce = __import__('random').randbytes(NONCE_SIZE)",
    ),
    broken(30, "the limit of a key is not said", KEYRING, "good for 2^32\n", "good for long\n"),
)
