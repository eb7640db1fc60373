"""Every code a problem of a task file can have: what it means and how to mend it. docs/problems.md is made from this.

Data only. Codes are never given to another meaning: E1 the file and its YAML, E2 aliases and templates, E3 what steps,
networks, volumes and env mean together, E4 cmd, build and push lines, E5 secrets, E6 what a shared server
grants, W warnings (errors with --strict).
"""

from __future__ import annotations

from taskengine.lightclass import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    code: str
    title: str
    explanation: str
    mend: str


_TABLE = (
    Code("E101", "File too large", "A task file of more than 8 MiB is refused unread.", "Split the task."),
    Code(
        "E102",
        "Not a UTF-8 text",
        "Task files are text in UTF-8. This one holds other bytes: it is binary, or saved in another encoding.",
        "Save it as UTF-8, or check that it is the right file.",
    ),
    Code(
        "E103",
        "Not YAML",
        "The text breaks the rules of YAML. After templates have been rendered, a value may be what breaks it.",
        "Most often: quote a text that holds ': ' or ' #' or begins with a special sign; use spaces, not tabs; check "
        "the indentation. In templates, `quote` puts a value in quotes.",
    ),
    Code("E104", "Nested too deeply", "More than 64 levels of lists and mappings.", "Make it flatter."),
    Code(
        "E105",
        "Too many values",
        "More than 400,000 values, counted after YAML aliases (*name) have been put in.",
        "Split the task, or repeat less.",
    ),
    Code(
        "E106",
        "Wrong anchor",
        "A YAML alias (*name) has no anchor (&name) above it, or an anchor contains itself.",
        "Write &name in front of the value that is meant, above its first use.",
    ),
    Code(
        "E107",
        "Wrong shape",
        "A property has a list where a text is expected, a text where a list is expected, or the like.",
        "The task reference says what each property takes.",
    ),
    Code(
        "E108",
        "Not a whole number",
        "Numbers are written without quotes; 010 is eight and 0x20 is thirty-two, as YAML 1.1 has it.",
        "Write a whole number without quotes.",
    ),
    Code("E109", "Not true or false", "The property is a switch.", "Write true or false, without quotes."),
    Code("E110", "Not a task", "The whole file is a list or a text; a task is a mapping.", "Begin with `steps:`."),
    Code("E111", "Empty entry", "An entry of a list of steps, networks, ... is empty.", "Fill it in or remove it."),
    Code("E112", "Name is no text", "The name of a property is a list or a mapping.", "Check brackets and '?'."),
    Code(
        "E201",
        "Template error",
        "A template action ({{ ... }}) cannot be parsed or fails when it is carried out.",
        "The message says what is wrong; the place is in your own file. Below version v1.1.0 actions in comments "
        "count as well.",
    ),
    Code(
        "E202",
        "Nothing is left",
        "All the templates of the file together render to nothing.",
        "Check the conditions around the steps.",
    ),
    Code(
        "E203",
        "Too much is made",
        "Templates or aliases make more than 8 MiB of text, or work far more often than any task needs.",
        "Check the loops.",
    ),
    Code(
        "E210",
        "Alias name",
        "The name of an alias may hold the letters a to z, A to Z and digits only.",
        "Rename it, for instance my-name to myName.",
    ),
    Code(
        "E211",
        "Alias directive",
        "The directive is the one character that stands before an alias instead of $; no letter and no digit.",
        "Choose one sign, such as '@'.",
    ),
    Code(
        "E212",
        "Alias source unreadable",
        "A file or address under `src` cannot be read. Addresses must answer within two seconds.",
        "Check the name; only files below the current folder or the folder of the task file are read; for a fetched "
        "task file, those that came with it.",
    ),
    Code(
        "E213",
        "Alias source is no list of aliases",
        "A source of aliases is a YAML file with one `name: text` a line.",
        "Remove what is nested.",
    ),
    Code("E220", "--set without =", "`--set` and `--set-secret` take name=value.", "Write --set name=value."),
    Code(
        "E221",
        "Values file",
        "The values file is no YAML, or no mapping of names and values.",
        "Write one `name: value` a line.",
    ),
    Code("E301", "Unknown version", "The version is not one of 1.0-preview-1, v1.0.0, v1.1.0.", "Use v1.1.0."),
    Code(
        "E302",
        "Two steps with one id",
        "Ids are unique. A step without one is called acb_step_N, N being its position counted from 0.",
        "Give one of the steps another id.",
    ),
    Code("E303", "Space in an id", "Ids are host names too and hold no white space.", "Use a dash."),
    Code("E304", "Reserved id", "acb_root is the name of the start of every task.", "Use another id."),
    Code("E305", "Step does nothing", "A step has none of cmd, build and push.", "Add the one that is meant."),
    Code("E306", "Step does too much", "A step has more than one of cmd, build and push.", "Make it two steps."),
    Code("E307", "Less than zero", "retries and repeat count attempts.", "Write 0 or more."),
    Code("E308", "cache", "cache is enabled or disabled.", "Write one of the two."),
    Code(
        "E309",
        "Value not understood",
        "cpus is a number, an entry of ports is [[IP:]HOST:]CONTAINER, one of expose is a port.",
        "Write it as the hint shows.",
    ),
    Code(
        "E310",
        "'-' beside others",
        "In `when`, '-' means 'start at once'; waiting for others as well is a contradiction.",
        'Write when: ["-"] or name the steps.',
    ),
    Code("E311", "Step waits for itself", "A step is named in its own `when`.", "Remove it."),
    Code(
        "E312",
        "Step waits for a later one",
        "A step can only wait for steps above it, so that no circle can be written.",
        "Move the step that is waited for up.",
    ),
    Code("E313", "Unknown step", "`when` names a step that does not exist.", "Check the spelling; case counts."),
    Code("E314", "Empty name in when", "`when` holds an empty entry.", "Remove it."),
    Code(
        "E315",
        "Control character in an id",
        "Ids are shown on terminals and are host names; a control character in one would do things there.",
        "Use letters, digits and dashes.",
    ),
    Code("E320", "Network without a name", "Every network has a name.", "Add `name:`."),
    Code("E330", "Volume name", "Every volume has a name of letters, digits, - and _.", "Rename it."),
    Code("E331", "Volume without files", "A volume is made of `secret`, a mapping of files.", "Add `secret:`."),
    Code("E332", "Two volumes with one name", "Names of volumes are unique.", "Rename one."),
    Code("E333", "File name in a volume", "The file would lie outside of its volume.", "Use a plain name."),
    Code("E340", "Incomplete mount", "A volume mount has a name and a mountPath.", "Add what is missing."),
    Code("E341", "Unknown volume", "A mount names a volume that the task does not declare.", "Declare it."),
    Code("E342", "Two mounts at one path", "Mount paths of a step are unique.", "Change one path."),
    Code("E343", "Mount on a push", "A push has no container to mount into.", "Remove volumeMounts."),
    Code(
        "E350",
        "env without =",
        "An environment variable is NAME=value. In a step, a name alone is only possible when nothing is inherited.",
        "Write NAME=value.",
    ),
    Code("E351", "env without a name", "An environment variable has no name before its =.", "Write NAME=value."),
    Code(
        "E401",
        "Unclosed quote",
        "A cmd or build line opens a quote and does not close it. Lines are split as a POSIX shell splits words.",
        "Close the quote, or put a backslash before the sign itself.",
    ),
    Code("E402", "No image", "A cmd has options and no image, or is blank.", "Write the image first."),
    Code("E403", "Unknown option of docker run", "No such option exists.", "Check the spelling."),
    Code(
        "E404",
        "Option not possible here",
        "The option exists, but a task has another way for it, or none.",
        "The hint names the way.",
    ),
    Code(
        "E405",
        "Value of an option",
        "An option lacks its value or has one that means nothing, or a switch has one.",
        "See the reference.",
    ),
    Code("E412", "No context", "A build line ends with its context, most often a dot.", "Add ` .` at the end."),
    Code("E413", "Several contexts", "A build has one context.", "Quote values that hold blanks."),
    Code("E414", "Unknown option of docker build", "No such option exists.", "Check the spelling."),
    Code("E421", "Image to push", "An entry of push is empty or holds white space.", "One image an entry."),
    Code(
        "E422",
        "Name of an image",
        "An image is called [HOST/]NAME[:TAG][@DIGEST]; NAME is in lower case.",
        "Write the name as the hint shows.",
    ),
    Code("E501", "Secret without an id", "A secret is used by its id.", "Add `id:`."),
    Code("E502", "Space in a secret's id", "Ids of secrets hold no white space.", "Use a dash."),
    Code("E503", "Two secrets with one id", "Ids of secrets are unique.", "Rename one."),
    Code("E504", "Secret without an address", "A secret has a keyvault, the address of its value.", "Add it."),
    Code("E505", "clientID", "The clientID of an identity is a GUID.", "Copy it from the identity."),
    Code(
        "E506",
        "Value of a secret not known",
        "Nobody gave the secret's value and no provider has it.",
        "Give it by --secret ID=VALUE, or set a provider up.",
    ),
    Code("E507", "Secret is no text", "The value of a secret is not UTF-8.", "Store it as base64."),
    Code(
        "E601",
        "Rights on the host",
        "The step asks for rights on the engine's host, which a shared server does not give by default.",
        "Do without them, or let an operator grant `privileged` to the task.",
    ),
    Code(
        "E602",
        "The engine's socket",
        "The step reaches for the engine's socket, or runs an image that needs it. Whoever has it can do everything.",
        "Build and push by `build` and `push` steps, or let an operator grant `docker-socket` to the task.",
    ),
    Code(
        "E603",
        "Networks of the host",
        "The step joins a network that its run did not make.",
        "Declare it under `networks:`, or let an operator grant `host-network` to the task.",
    ),
    Code(
        "E604",
        "Ports of the host",
        "The step publishes a port on the engine's host.",
        "Steps of a run reach each other by their ids; else let an operator grant `host-ports` to the task.",
    ),
    Code(
        "E605",
        "Mounts of the host",
        "The step mounts a directory of the engine's host, or a volume that its run did not make.",
        "Use /workspace or `volumes:` of the task, or let an operator grant `host-mounts` to the task.",
    ),
    Code(
        "E606",
        "Isolation",
        "The step asks for another isolation than the engine's own.",
        "Leave it out, or let an operator grant `isolation` to the task.",
    ),
    Code(
        "E607",
        "A push to another registry",
        "The step pushes with the worker's own logins to a registry that is not the run's.",
        "Give the task a credential for it, or let an operator grant `registry:HOST` to the task.",
    ),
    Code(
        "W101",
        "Unknown property",
        "It has no effect. Names that begin with x- are left alone, as a place for YAML anchors.",
        "Check the spelling; case counts.",
    ),
    Code("W102", "Property given twice", "The last one counts.", "Remove one."),
    Code("W103", "Further documents", "Only the first YAML document of a file is read.", "Use one file a task."),
    Code("W201", "Version from a template", "Whether aliases are on must be known before.", "Write it out."),
    Code("W301", "No steps", "The task does nothing.", "Add `steps:`."),
    Code("W302", "No effect on this step", "The property belongs to another type of step.", "Remove it."),
    Code("W303", "Network declared twice", "It is made once.", "Remove one."),
    Code(
        "W305",
        "Several variables in one entry",
        "An `env` entry of a task with commas and more names is read as several variables, as in ACR Tasks.",
        "Write one entry for each.",
    ),
    Code("W306", "Relative mount path", "Engines refuse mount paths that are not absolute.", "Begin with /."),
    Code("W307", "Not base64", "Contents of files in volumes are base64.", "Use b64enc in the template."),
    Code("W308", "Time limit below zero", "It counts as none: the default is taken.", "Write seconds."),
    Code(
        "W401",
        "Shell operator",
        "No shell reads a cmd line: `;`, `|`, `&&`, `>`, `$(...)` and the like are plain text for the program.",
        "Where a shell is meant: IMAGE sh -c '...'.",
    ),
    Code(
        "W403",
        "Image name lacks its beginning",
        "An image name begins with '/' or ':', which no engine accepts. Most often $Registry or another run "
        "variable in front of it is empty.",
        "Give --registry, or write the name out.",
    ),
    Code(
        "W402",
        "No name for the cache",
        "The registry cache of a build is named after its tag, the task and the step; here no valid name comes out.",
        "Name a registry in the tag or give --registry.",
    ),
    Code(
        "W404",
        "Image name may be incomplete",
        "No registry takes this name, but a variable in it may be missing or empty in this run only.",
        "Check the variables in it.",
    ),
)

CODES = {entry.code: entry for entry in _TABLE}
