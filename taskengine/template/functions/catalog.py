"""Every function by name: where it lives and what it takes. Modules are imported when a template first calls into them.

The set is Go's built-in functions and Sprig 2.22, whose names win. Must not know what functions do."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

from taskengine.template.argument import Signature, parse_signature

# module: "template name[=python name]:signature ..."
_MODULES = {
    "builtin": """
        and=never:rr* or=never:rr* not=negate:r call:rr* index:rr* len=length:r print:a* printf:sa* println:a*
        html:a* js:a* urlquery:a* eq:rr* ne:rr lt:rr le:rr gt:rr ge:rr""",
    "text": """
        hello: abbrev:is abbrevboth:iis trunc:is trim:s substr:iis repeat:is trimall=trim_all:ss trimAll=trim_all:ss
        trimSuffix=trim_suffix:ss trimPrefix=trim_prefix:ss nospace:s initials:s wrap:is wrapWith=wrap_with:iss
        contains:ss hasPrefix=has_prefix:ss hasSuffix=has_suffix:ss quote=quoted:a* squote=single_quoted:a* cat:a*
        indent:is nindent:is replace:sss plural:ssi toString=to_string:a split:ss splitList=split_list:ss
        splitn:sis toStrings=to_strings:a join:sa sortAlpha=sort_alpha:a fail:s env:s expandenv:s""",
    "casing": """
        upper:s lower:s title:s untitle:s swapcase:s snakecase:s camelcase:s kebabcase:s""",
    "chance": """
        randAlphaNum=rand_alpha_num:i randAlpha=rand_alpha:i randAscii=rand_ascii:i randNumeric=rand_numeric:i
        shuffle:s uuidv4:""",
    "number": """
        atoi:s int64:a int=integer:a float64:a toDecimal=to_decimal:a until:i untilStep=until_step:iii add1:a add:a*
        sub:aa div:aa mod:aa mul:aa* biggest=maximum:aa* max=maximum:aa* min=minimum:aa* ceil:a floor:a
        round=rounded:aif*""",
    "collection": """
        tuple=make_list:a* list=make_list:a* append:aa push=append:aa prepend:aa first:a rest:a last:a initial:a
        reverse:a uniq:a without:aa* has:aa slice:aa* concat:a* compact:a dict=make_dict:a* set=set_key:msa
        unset:ms hasKey=has_key:ms pluck:sm* keys:m* pick:ms* omit:ms* merge:mm* mergeOverwrite=merge_overwrite:mm*
        values:m""",
    "condition": """
        default:aa* empty:a coalesce:a* ternary:aab deepCopy=deep_copy:a toJson=to_json:a toPrettyJson=to_pretty_json:a
        typeOf=type_of:a typeIs=type_is:sa typeIsLike=type_is_like:sa kindOf=kind_of:a kindIs=kind_is:sa
        deepEqual=equal:aa""",
    "encoding": """
        b64enc:a b64dec:s b32enc:s b32dec:s sha1sum:s sha256sum:s adler32sum:s urlParse=url_parse:s urlJoin=url_join:m
        getHostByName=get_host_by_name:s""",
    "path": "base:s dir=directory:s clean:s ext:s isAbs=is_abs:s",
    "date": """
        ago:a date:sa date_in_zone:sas dateInZone=date_in_zone:sas date_modify:st dateModify=date_modify:st
        htmlDate=html_date:a htmlDateInZone=html_date_in_zone:as now: toDate=to_date:ss unixEpoch=unix_epoch:t""",
    "crypto": """
        genPrivateKey=gen_private_key:s derivePassword=derive_password:ussss buildCustomCert=build_custom_cert:ss
        genCA=gen_ca:si genSelfSignedCert=gen_self_signed_cert:sLLi genSignedCert=gen_signed_cert:sLLic
        encryptAES=encrypt_aes:ss decryptAES=decrypt_aes:ss""",
    "version": "semver:s semverCompare=semver_compare:ss",
    "regex": """
        regexMatch=match:ss regexFindAll=find_all:ssi regexFind=find:ss regexReplaceAll=replace_all:sss
        regexReplaceAllLiteral=replace_all_literal:sss regexSplit=split:ssi""",
}


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[str, str, str]]:
    table = {}
    for module, entries in _MODULES.items():
        for entry in entries.split():
            names, _, signature = entry.partition(":")
            name, _, attribute = names.partition("=")
            table[name] = (module, attribute or name, signature)
    return table


def knows(name: str) -> bool:
    return name in _table()


def names() -> frozenset[str]:
    """All functions that templates may call."""
    return frozenset(_table())


@lru_cache(maxsize=512)
def load(name: str) -> tuple[Signature, Any]:
    """What a function takes, and its implementation, which takes the environment first."""
    module, attribute, signature = _table()[name]
    found = import_module(f"taskengine.template.functions.{module}")
    return parse_signature(signature), getattr(found, attribute)


# Names that people know from Helm or later Sprig versions, with what to write here.
_ELSEWHERE = {
    "get": 'write {{ index $dict "key" }}',
    "toYaml": "there is no YAML output here; toJson writes JSON, which is YAML too",
    "include": 'write {{ template "name" . }}',
    "required": 'write {{ if not .Values.x }}{{ fail "x is needed" }}{{ end }}',
    "fromJson": "values files are the way to give structured data",
}


def suggest(name: str) -> str | None:
    """What the author of an unknown function may have meant."""
    from difflib import get_close_matches

    if name in {"Values", "Run", "Secrets", "Build"}:
        return f"put a dot before it: .{name}"
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    lowered = {known.lower(): known for known in _table()}
    close = get_close_matches(name.lower(), lowered, n=1, cutoff=0.75)
    return (
        f"did you mean {lowered[close[0]]}? Texts stand in quotes, fields begin with a dot"
        if close
        else ("texts stand in quotes, fields begin with a dot: {{ .Values.name }}")
    )
