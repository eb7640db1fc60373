"""What Sprig's functions give."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from taskengine.template import TemplateError, render
from taskengine.template.functions import catalog

_NOW = datetime(2024, 3, 5, 6, 7, 8, 90000, tzinfo=UTC)
_DATA: dict[str, Any] = {"Values": {"name": "widget", "list": ["a", "b"], "m": {"k": 1}, "f": 1.5, "big": 2**63}}


def _value(action: str) -> str:
    return render("{{ " + action + " }}", _DATA, now=_NOW).text


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        # Texts
        ('trim " a b\\t\\n"', "a b"), ('trimAll "$" "$a$"', "a"), ('trimall "xy" "xyaxy"', "a"),
        ('trimSuffix "-" "a--"', "a-"), ('trimPrefix "-" "--a"', "-a"), ('upper "aé"', "AÉ"), ('lower "AÉ"', "aé"),
        ('title "hello wORLD-foo it\'s"', "Hello WORLD-Foo It'S"), ('untitle "Hello World"', "hello world"),
        ('repeat 3 "ab"', "ababab"), ('repeat 0 "a"', ""), ('nospace " a b\\tc "', "abc"), ('initials "First Try x"', "FTx"),
        ('swapcase "This Is A.Test"', "tHIS iS a.tEST"), ('swapcase "abc dEf"', "ABC DeF"),
        ('snakecase "FirstName"', "first_name"), ('snakecase "HTTPServer"', "http_server"),
        ('snakecase "NoHTTPS"', "no_https"), ('snakecase "GO_PATH"', "go_path"), ('snakecase "GO PATH"', "go_path"),
        ('snakecase "GO-PATH"', "go_path"), ('snakecase "http2xx"', "http_2xx"), ('snakecase "HTTP20xOK"', "http_20x_ok"),
        ('snakecase "Duration2m3s"', "duration_2m3s"), ('snakecase "Bld4Floor3rd"', "bld4_floor_3rd"),
        ('kebabcase "FirstName"', "first-name"), ('kebabcase "Bld4Floor3rd"', "bld4-floor-3rd"), ('kebabcase "aB"', "a-b"),
        ('snakecase ""', ""), ('snakecase "a"', "a"), ('snakecase "A"', "a"), ('snakecase "aBC"', "a_bc"),
        ('camelcase "some_words"', "SomeWords"), ('camelcase "http_server"', "HttpServer"),
        ('camelcase "no_https"', "NoHttps"), ('camelcase "_complex__case_"', "_Complex_Case_"),
        ('camelcase "some words"', "SomeWords"), ('camelcase "a"', "A"), ('camelcase ""', ""), ('camelcase "__"', "___"),
        ('abbrev 5 "hello world"', "he..."), ('abbrev 20 "hello"', "hello"), ('abbrev 3 "hello"', "hello"),
        ('abbrevboth 5 7 "foo bar baz"', "...a..."), ('trunc 3 "hello"', "hel"), ('trunc 0 "a"', ""), ('trunc 9 "a"', "a"),
        ('substr 0 2 "hello"', "he"), ('substr 3 3 "hello"', ""), ('wrap 3 "ab cd"', "ab\ncd"), ('wrap 3 "abcdef gh"', "abcdef\ngh"),
        ('wrapWith 2 "\\t" "abcd"', "ab\tcd"), ('wrap 80 ""', ""), ('contains "" "a"', "true"),
        ('quote "a\\n" nil 1', '"a\\n" "1"'), ("quote", ""), ('squote "a" nil', "'a'"), ('cat "a" 1 nil "b c"', "a 1 b c"),
        ("cat", ""), ('indent 2 "a\\nb"', "  a\n  b"), ('nindent 2 "a"', "\n  a"), ('replace "" "-" "ab"', "-a-b-"),
        ('replace "a" "" "banana"', "bnn"), ('plural "one" "many" 1', "one"), ('plural "one" "many" 0', "many"),
        ('plural "one" "many" (len "ab")', "many"), ('"x" | toString', "x"), ("toString 1.0", "1"), ("toString true", "true"),
        ("toString (list 1)", "[1]"), ('splitList ", " "a, b"', "[a b]"), ('split "" "ab"', "map[_0:a _1:b]"),
        ('splitn "," 0 "a,b"', "map[]"), ('splitn "," -1 "a,b"', "map[_0:a _1:b]"), ('splitn "" 2 "abc"', "map[_0:a _1:bc]"),
        ("toStrings (list 1 nil true)", "[1 true]"), ("toStrings 5", "[5]"), ("toStrings nil", "[]"),
        ("join `,` nil", ""), ("join `,` (until 3)", "0,1,2"), ('sortAlpha (list "b" "A" 3)', "[3 A b]"),
        ('sortAlpha "x"', "[x]"), ('randAlphaNum 0', ""), ('env "PATH"', ""), ('expandenv "a$PATH ${HOME} $ x"', "a  $ x"),
        ('expandenv "$$ ${} ${a $1b"', "  a b"),
        # Numbers
        ("add 9223372036854775807 1", "-9223372036854775808"), ("mul 4611686018427387904 4", "0"), ("sub 1 5", "-4"),
        ("div -9 4", "-2"), ("mod -9 4", "-1"), ("mod 9 -4", "1"), ("max 1 -3", "1"), ("min 1", "1"), ("add1 `x`", "1"),
        ('int " 4"', "0"), ('int "4.5"', "0"), ("int -4.9", "-4"), ('int64 "99999999999999999999"', "0"), ('int "+7"', "7"),
        ("int nil", "0"), ("int (list 1)", "0"), ('atoi "-5"', "-5"), ('atoi "0x1"', "0"), ('atoi ""', "0"),
        ('float64 "abc"', "0"), ('float64 "1e3"', "1000"), ("float64 true", "1"), ("float64 nil", "0"), ('float64 "inf"', "+Inf"),
        ("toDecimal 8", "0"), ('toDecimal "0777"', "511"), ("ceil 1.2", "2"), ("ceil -1.2", "-1"), ("floor -1.2", "-2"),
        ("floor 123.9999", "123"), ("ceil `x`", "0"), ("round 123.5555 3", "123.556"), ("round 123.5555 2", "123.56"),
        ("round 123.49 0", "123"), ("round 1.5 0 0.6", "1"), ("round -1.5 0", "-2"), ("ceil 12345678.1", "1.2345679e+07"),
        ("until 3", "[0 1 2]"), ("until -2", "[0 -1]"), ("until 0", "[]"), ("untilStep 3 6 2", "[3 5]"),
        ("untilStep 3 0 -1", "[3 2 1]"), ("untilStep 0 3 0", "[]"), ("untilStep 0 3 -1", "[]"),
        ("kindOf .Values.big", "uint64"), ("add .Values.big 0", "9223372036854775807"),
        # Lists
        ("list", "[]"), ("tuple 1 2", "[1 2]"), ("append (list 1) 2", "[1 2]"), ("push (list) nil", "[<nil>]"),
        ("prepend (list 1) 0", "[0 1]"), ("first (list 1 2)", "1"), ("last (until 3)", "2"), ("rest (list 1 2)", "[2]"),
        ("initial (list 1 2)", "[1]"), ("reverse (list 1 2)", "[2 1]"), ('uniq (list 1 1 "1" 2)', "[1 1 2]"),
        ("uniq (list 1 (int64 1) 1.0 true)", "[1 1 1 true]"), ("without (list 1 2 3) 2 3", "[1]"), ("has 1 nil", "false"),
        ("has (list 1) (list (list 1))", "true"), ("has 1 (list (int64 1))", "false"), ('compact (list 0 "" 1 nil "a" false)', "[1 a]"),
        ("concat (list 1) (until 2) (list)", "[1 0 1]"), ("concat", "[]"), ("slice (list 1 2 3) 1 2", "[2]"), ("slice (list)", ""),
        ("slice (until 3) 3", "[]"), ("toJson (rest (list))", "null"), ("toJson (rest (list 1))", "[]"),
        # Dicts
        ('dict "a"', "map[a:]"), ("dict 1 2", "map[1:2]"), ('hasKey (dict "a" nil) "a"', "true"), ('hasKey nil "a"', "false"),
        ('keys (dict "b" 1 "a" 2) (dict "c" 3)', "[a b c]"), ("values (dict `b` 1 `a` 2)", "[2 1]"),
        ('pick (dict "a" 1) "x"', "map[]"), ('omit (dict "a" 1 "b" 2) "a" "c"', "map[b:2]"), ("pluck `x` (dict)", "[]"),
        ('merge (dict "a" (dict "x" 1)) (dict "a" (dict "x" 2 "y" 3) "b" 0)', "map[a:map[x:1 y:3] b:0]"),
        ('merge (dict "a" "") (dict "a" 1)', "map[a:1]"), ('merge (dict) (dict "a" nil)', "map[]"),
        ('mergeOverwrite (dict "a" 1 "l" (list 1)) (dict "a" 2) (dict "l" (list 2 3))', "map[a:2 l:[2 3]]"),
        ('mergeOverwrite (dict "a" (dict "x" 1)) (dict "a" (dict "x" 2 "y" 3))', "map[a:map[x:2 y:3]]"),
        ('hasKey .Values.m "k"', "true"), ("merge (dict) .Values.m", "map[k:1]"), ("unset (dict `a` 1) `a`", "map[]"),
        # Defaults, JSON, types
        ("default 1 0", "1"), ("default 1 nil", "1"), ("default 1 (dict)", "1"), ("default 1 0.0", "1"), ('default "a" "b"', "b"),
        ("empty (dict)", "true"), ("empty 0.0", "true"), ("empty now", "false"), ("coalesce", ""), ("coalesce nil 2", "2"),
        ("ternary 1 2 false", "2"), ("true | ternary `y` `n`", "y"), ("deepCopy (dict `a` (list 1))", "map[a:[1]]"),
        ('toJson "<a> & é\\u2028\\"\\\\\\n\\x01"', '"\\u003ca\\u003e \\u0026 é\\u2028\\"\\\\\\n\\u0001"'), ("toJson nil", "null"),
        ("toJson 1.0", "1"), ("toJson 1e21", "1e+21"), ("toJson 1e-7", "1e-7"), ("toJson 123456789.5", "123456789.5"),
        ("toJson (list)", "[]"), ("toJson (dict `b` 1 `a` nil)", '{"a":null,"b":1}'), ("toPrettyJson (list)", "[]"),
        ("toPrettyJson (dict `a` (dict))", '{\n  "a": {}\n}'), ("toJson (toDate `2006` `2020`)", '"2020-01-01T00:00:00Z"'),
        ("toJson 1i", ""), ("toJson (semver `1.2.3-rc.1`)", '"1.2.3-rc.1"'), ("typeOf nil", "<nil>"), ("typeOf 1", "int"),
        ("typeOf .Values", "map[string]interface {}"), ("typeOf .Values.m", "map[interface {}]interface {}"),
        ("typeIs `int` 1", "true"), ("typeIsLike `semver.Version` (semver `1.0.0`)", "true"), ("kindOf nil", "invalid"),
        ("kindOf (list)", "slice"), ("kindOf (dict)", "map"), ("kindOf 1.5", "float64"), ("kindOf now", "struct"),
        ("kindOf (semver `1.0.0`)", "ptr"), ("kindIs `string` `a`", "true"), ("deepEqual (list 1) (list 1)", "true"),
        ("deepEqual 1 (int64 1)", "false"), ("deepEqual nil nil", "true"), ("deepEqual (list) (rest (list))", "false"),
        # Encodings
        ("b64enc `a`", "YQ=="), ("b64enc (list 1)", "WzFd"), ("b64dec `YQ==`", "a"), ("b64dec `YQ=`", "illegal base64 data at input byte 3"),
        ("b64dec `YQ`", "illegal base64 data at input byte 0"), ("b64dec `YWJjZ`", "illegal base64 data at input byte 4"),
        ("b64dec `YQ==YQ==`", "illegal base64 data at input byte 4"), ('b64dec "YW\\nJj"', "abc"), ("b64dec `Y===`", "illegal base64 data at input byte 1"),
        ("b64dec ``", ""), ("b64dec `/+8=` | b64enc", "/+8="), ("b32dec `ME======`", "a"), ("b32dec `M`", "illegal base32 data at input byte 0"),
        ("b32dec `me======`", "illegal base32 data at input byte 0"), ("b32enc ``", ""), ("b32dec ``", ""),
        ("sha1sum `hello`", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"), ("adler32sum `hello`", "103547413"),
        ("sha256sum `abc` | trunc 8", "ba7816bf"), ("urlParse `mailto:a@b` | toJson | contains `a@b`", "true"),
        ("(urlParse `http://u@h:80/a%20b?q#f%20g`).path", "/a b"), ("(urlParse `//h/p`).host", "h"), ("(urlParse `http://[::1]:8/`).hostname", "::1"),
        ("urlJoin (dict)", ""), ("urlJoin (dict `host` `h` `path` `a b`)", "//h/a%20b"), ("urlJoin (dict `scheme` `mailto` `opaque` `x@y`)", "mailto:x@y"),
        ("urlJoin (dict `scheme` `http` `userinfo` `u:p` `host` `h` `fragment` `f g`)", "http://u:p@h#f%20g"), ("getHostByName `127.0.0.1`", "127.0.0.1"),
        ("html nil", "&lt;no value&gt;"), ("html `a` 1 2", "a1 2"), ("urlquery `ä+~`", "%C3%A4%2B~"), ("js `=&é`", "\\u003D\\u0026é"),
        # Paths
        ("base `/a/b.txt`", "b.txt"), ("base ``", "."), ("base `/`", "/"), ("base `a/`", "a"), ("dir `/a/b`", "/a"), ("dir `a`", "."), ("dir ``", "."),
        ("dir `/a/b/`", "/a/b"), ("dir `/`", "/"), ("clean `a//b/../c/.`", "a/c"), ("clean ``", "."), ("clean `//a`", "/a"), ("clean `/..`", "/"), ("ext `a.tar.gz`", ".gz"),
        ("ext `.bashrc`", ".bashrc"), ("ext `a.b/c`", ""), ("isAbs `/a`", "true"),
        # Dates
        ("now | date `2006-01-02T15:04:05.000Z07:00`", "2024-03-05T06:07:08.090Z"), ("date `Jan _2 Mon 3:04PM pm` now", "Mar  5 Tue 6:07AM am"),
        ("date `January 2, 2006 Monday MST -0700` now", "March 5, 2024 Tuesday UTC +0000"), ("date `06 1 2 3 4 5 002 .999 .000000` now", "24 3 5 6 7 8 065 .09 .090000"),
        ("dateInZone `15:04 MST -07:00` now `Europe/Berlin`", "07:07 CET +01:00"), ("date_in_zone `15` now `Nope/Zone`", "06"),
        ("date `2006-01-02` 0", "1970-01-01"), ("date `2006-01-02` `x`", "2024-03-05"), ("htmlDate now", "2024-03-05"), ("htmlDateInZone 0 `UTC`", "1970-01-01"),
        ("date_modify `-1.5h` now | date `15:04`", "04:37"), ("date_modify `bad` now | date `15`", "06"), ("unixEpoch now", "1709618828"),
        ("now.Year", "2024"), ("now.Month", "March"), ("now.Weekday", "Tuesday"), ("now.Unix", "1709618828"), ("now.Format `06`", "24"),
        ("(now.AddDate 0 1 30).Format `2006-01-02`", "2024-05-05"), ("now", "2024-03-05 06:07:08.09 +0000 UTC"), ("eq now.Month 3", "true"),
        ("ago (toDate `2006-01-02` `2024-03-05`)", "6h7m8s"), ("ago now", "0s"), ("toDate `2006-01-02 15:04:05 -0700` `2024-01-01 00:00:00 +0200` | unixEpoch", "1704060000"),
        ("toDate `Jan 2 2006` `feb 29 2023` | date `2006`", "0001"), ("toDate `02/01/06 3:04pm` `31/12/99 1:05pm` | date `2006-01-02 15:04`", "1999-12-31 13:05"),
        ("now.Sub (toDate `2006` `2024`)", "1542h7m8.09s"),
        # Versions
        ("semver `v1.2.3-beta.1+b1`", "1.2.3-beta.1+b1"), ("(semver `v1.2`).Original", "v1.2"), ("(semver `1`).Minor", "0"), ("(semver `1.2.3-a`).Prerelease", "a"),
        ("(semver `1.2.3`).Compare (semver `1.10.0`)", "-1"), ("(semver `1.2.3`).IncMinor", "{1 3 0   1.3.0}"),
        ("semverCompare `^1.2.0` `1.9.9`", "true"), ("semverCompare `^1.2.0` `2.0.0`", "false"), ("semverCompare `^0.2.3` `0.9.0`", "true"),
        ("semverCompare `~1.2.0` `1.2.9`", "true"), ("semverCompare `~1.2.0` `1.3.0`", "false"), ("semverCompare `~1` `1.9.0`", "false"), ("semverCompare `~1.x` `1.9.0`", "true"),
        ("semverCompare `>=1.0, <2.0 || >3` `3.1.0`", "true"), ("semverCompare `1.2 - 1.4.5` `1.4.5`", "true"), ("semverCompare `*` `9.9.9`", "true"),
        ("semverCompare `1.2.x` `1.2.8`", "true"), ("semverCompare `>1.0.0` `1.1.0-rc1`", "false"), ("semverCompare `>1.0.0-0` `1.1.0-rc1`", "true"),
        ("semverCompare `!=1.2.3` `1.2.4`", "true"), ("semverCompare `=1.2.3` `v1.2.3`", "true"), ("semverCompare `>1.0.0-alpha.9` `1.0.0-alpha.10`", "true"),
        # Regular expressions
        ("regexFind `é+` `aéé`", "éé"), ("regexFindAll `a|$` `ba` -1", "[a]"), ("regexFindAll `x` `a` -1 | len", "0"), ("regexFindAll `a` `aaa` 0 | len", "0"),
        ("regexReplaceAll `a(x*)b` `-ab-axxb-` `${1}W`", "-W-xxW-"), ("regexReplaceAll `a(x*)b` `-ab-axxb-` `$1W`", "---"),
        ("regexReplaceAll `(?P<n>a)` `ba` `[$n][$$][${x}]`", "b[a][$][]"), ("regexReplaceAllLiteral `a(x*)b` `-ab-` `${1}`", "-${1}-"),
        ("regexReplaceAll `a*` `baac` `x`", "xbxcx"), ("regexReplaceAll `` `ab` `-`", "-a-b-"), ("regexSplit `a*` `baac` -1", "[b c]"), ("regexSplit `z+` `pizza` 2", "[pi a]"),
        ("regexSplit `,` `a,b,c` 0 | len", "0"), ("regexSplit `,` `` -1 | len", "1"), ("regexSplit `` `abc` -1", "[a b c]"), ("regexMatch `(?i)ABC` `xabcx`", "true"),
        ("decryptAES `k` (encryptAES `k` `héllo`)", "héllo"), ("encryptAES `k` ``", ""),
        ("derivePassword 1 `long` `password` `user` `example.com`", "ZedaFaxcZaso9*"),
        ("derivePassword 2 `pin` `password` `user` `example.com`", None), ("derivePassword 1 `nope` `a` `b` `c`", "cannot find password template nope"),
        ("genPrivateKey `nope`", "Unknown type nope"), ("genPrivateKey `ecdsa` | hasPrefix `-----BEGIN EC PRIVATE KEY-----`", "true"),
    ],
)  # fmt: skip
def test_functions_give_what_sprig_gives(action: str, expected: str | None) -> None:
    assert expected is None or _value(action) == expected


def test_certificates_are_signed_by_their_authority() -> None:
    text = (
        '{{ $ca := genCA "root" 30 }}{{ $c := genSignedCert "host" (list "10.0.0.1") (list "host.example") 7 $ca }}'
        "{{ $c.Cert }}|{{ $c.Key }}|{{ $ca.Cert }}"
    )
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    cert, key, ca = render(text, {}, now=_NOW).text.split("|")
    signed, root = (x509.load_pem_x509_certificate(part.encode()) for part in (cert, ca))
    signed.verify_directly_issued_by(root)
    assert load_pem_private_key(key.encode(), None).public_key() == signed.public_key()
    assert signed.not_valid_before_utc == _NOW.replace(microsecond=0)


@pytest.mark.parametrize(
    ("action", "pattern"),
    [
        ("randAlphaNum 20", "[A-Za-z0-9]{20}"),
        ("randAlpha 20", "[A-Za-z]{20}"),
        ("randNumeric 20", "[0-9]{20}"),
        ("randAscii 20", "[ -~]{20}"),
        ("randAlpha -1", ""),
        ("uuidv4", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("shuffle `aab`", "[ab]{3}"),
    ],
)
def test_chance_has_the_right_shape(action: str, pattern: str) -> None:
    assert re.fullmatch(pattern, _value(action))


@pytest.mark.parametrize("name", sorted(catalog.names()))
def test_every_function_has_an_implementation(name: str) -> None:
    signature, implementation = catalog.load(name)
    assert callable(implementation)
    assert isinstance(signature.fixed, str)


@pytest.mark.parametrize("name", sorted(catalog.names()))
def test_no_function_fails_unexpectedly_without_values(name: str) -> None:
    signature, _ = catalog.load(name)
    with suppress(TemplateError):
        _value(f"{name} {' '.join(['nil'] * len(signature.fixed))}")
