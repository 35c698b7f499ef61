"""Words and sentence patterns of the simulator's English. Data only.

Slots: `{s}` the subject ("Laravel"), `{t}` an imperative focus ("eager load relationships"), `{h}` a heading as it
stands, `{who}` plural people, `{gain}` and `{pain}` noun phrases, `{habit}` a noun phrase, `{when}` an adverbial,
`{n}` a number from 2 to 9, `{pct}` a percentage.
"""

from __future__ import annotations

from typing import Final

SLOTS_TECHNICAL: Final[dict[str, tuple[str, ...]]] = {
    "who": (
        "teams",
        "developers",
        "reviewers",
        "maintainers",
        "on-call engineers",
        "small teams",
        "new colleagues",
        "people who inherit the code",
    ),
    "gain": (
        "a calmer release day",
        "a shorter feedback loop",
        "a log you can actually read",
        "fewer late surprises",
        "a deployment nobody has to watch",
        "room for the next feature",
        "a code base that explains itself",
        "tests that fail for one reason only",
        "a page that answers before anyone gets impatient",
    ),
    "pain": (
        "a vague suspicion",
        "a slow page",
        "a failing nightly job",
        "a mystery in production",
        "a long code review",
        "a bug report without steps",
        "a dependency nobody dares to touch",
        "an alert at three in the morning",
    ),
    "habit": (
        "a short checklist",
        "one written example",
        "a failing test first",
        "a measured baseline",
        "a second pair of eyes",
        "a small reversible change",
        "a note in the commit message",
        "a named owner",
    ),
    "when": (
        "in the first week",
        "before the first release",
        "during the next refactoring",
        "on a quiet afternoon",
        "as soon as traffic grows",
        "while the context is still fresh",
        "long before it hurts",
    ),
}

SLOTS_GENERAL: Final[dict[str, tuple[str, ...]]] = {
    "who": (
        "beginners",
        "experienced people",
        "families",
        "small groups",
        "practitioners",
        "curious readers",
        "people with little time",
        "most of us",
    ),
    "gain": (
        "a calmer week",
        "a result you can repeat",
        "fewer surprises",
        "time for the parts you enjoy",
        "a habit that survives a bad day",
        "confidence that lasts",
        "something worth showing to a friend",
        "a clearer picture of what matters",
    ),
    "pain": (
        "a vague worry",
        "a false start",
        "an expensive detour",
        "a drawer full of unused tools",
        "a plan nobody follows",
        "a long list of good intentions",
        "a problem that returns every month",
    ),
    "habit": (
        "a short checklist",
        "ten quiet minutes",
        "a written note",
        "one honest question",
        "a small experiment",
        "a fixed time of day",
        "a friend who asks how it went",
        "a simple routine",
    ),
    "when": (
        "in the first week",
        "before anything else",
        "on a quiet afternoon",
        "at the end of the month",
        "while the memory is still fresh",
        "long before it becomes urgent",
        "between two larger steps",
    ),
}

OPENERS_TIP: Final[tuple[str, ...]] = (
    "Most {who} learn the hard way that it pays to {t}.",
    "If you {t} early, {gain} follows almost for free.",
    "There is a simple reason to {t}: it turns {pain} into something you can see and fix.",
    "Ask a dozen {who} about {s}, and the calmest ones will tell you to {t}.",
    "It is tempting to put this off, yet the people who {t} rarely regret the effort.",
    "The advice to {t} sounds modest — its effect on everyday work with {s} is not.",
    "When you {t}, you trade a little attention now for {gain} later.",
    "Nobody frames a certificate because they remembered to {t}, but {who} notice when it is missing.",
)

OPENERS_TOPIC: Final[tuple[str, ...]] = (
    "**{h}** is the part of {s} where good intentions meet reality.",
    "Before going further with {s}, it is worth looking calmly at one question: {h}.",
    "Much of what is written about {s} skips this step — a pity, because {gain} begins here.",
    "Ask {who} what changed their view of {s}, and sooner or later they come to this point.",
    "Every story about {s} has a chapter like this one, and it usually starts with {pain}.",
    "Of all the things one could say about {s}, this is the one that {who} remember.",
)

OPENERS_INTRODUCTION: Final[tuple[str, ...]] = (
    "{s} looks simple from the outside, and then comes the first real task.",
    "Few subjects reward a little curiosity as quickly as {s}.",
    "This article is for {who} who want to get more out of {s} without starting over.",
    "Everyone who deals with {s} collects a handful of habits; here are the ones worth passing on.",
    "There is no shortage of opinions about {s} — this is an attempt at something more useful.",
)

OPENERS_CLOSING: Final[tuple[str, ...]] = (
    "Taken together, these points make {s} a good deal less mysterious.",
    "None of what you have read requires a new tool, only a little attention to {s}.",
    "If you remember a single thing about {s}, let it be this: begin small and look at the result.",
    "You now have everything you need to make a start with {s}.",
    "That is the whole tour of {s}; the best next step is the smallest one.",
)

OPENERS_REPLY: Final[tuple[str, ...]] = (
    "Good question. The short answer about {s} is that it depends on one thing: how much you already know.",
    "Here is how I would look at {s}, step by step.",
    "Let us take {s} apart and keep only what helps you today.",
    "Happy to help with {s}. Start with the part that you can check yourself.",
)

BODY: Final[tuple[str, ...]] = (
    "Start with {habit}; it costs minutes and saves hours.",
    "The first sign that it works is rarely dramatic: {gain}, and nobody asks why.",
    "Write down what you expect before you begin, then compare it with what happened {when}.",
    "A good rule of thumb is to change one thing at a time and to keep {habit} for each change.",
    "What looks like {pain} is often a missing conversation.",
    "In practice {who} do this in {n} small steps rather than in one heroic leap.",
    "Keep the simple version until it fails you — complexity is easy to add and hard to remove.",
    "Nothing about {s} forces you to decide everything at once.",
    "Compare two alternatives side by side, pick the one you can explain in a sentence, and move on.",
    "The details differ from place to place, but the pattern behind them stays the same.",
    "If you are unsure, ask what would be harder to undo, and do the other thing first.",
    "One team reported {pct} fewer interruptions after they made {habit} part of their week.",
    "That is also why {who} come back to this point {when}, not only once.",
    "It helps to name the trade-off out loud: you give up a little freedom and receive {gain}.",
    "Small, regular attention beats a rescue mission every time.",
    "Treat the result as a draft, show it to somebody, and listen to the first question they ask.",
    "You will know that you have gone far enough when the next improvement no longer changes any decision.",
    "Do not confuse activity with progress; {habit} is worth more than a long meeting.",
    "The same idea carries over to neighbouring problems, which makes it a good investment {when}.",
    "Sometimes the honest answer is to leave it alone for now and to say so clearly.",
    "Read the official documentation of {s} once from start to end; few do, and it shows.",
    "Where {who} disagree, a measurement settles in an hour what opinions could not settle in a month.",
    "A naïve first attempt is fine as long as it is cheap to throw away.",
    "Think of it as housekeeping: unspectacular, quickly done, and missed only when it stops.",
    "Look for the step that you repeat most often and make that one boring.",
    "If it needs a hero, it needs a better process.",
    "The cost is visible at once, the benefit arrives {when}, so write both down.",
    "Nearly every exception to this advice turned out to be {pain} in disguise.",
    "Give it {n} weeks before you judge; habits need a little time to settle.",
    "Ask yourself which part of {s} you would miss first, and protect that part.",
    "Mistakes here are forgiving: you notice them early and repair them without an audience.",
    "The literature calls this a *feedback loop*; in a café it is simply called learning from yesterday.",
    "With {s}, as with most crafts, the second attempt is the one that teaches you something.",
    "Leave a trace of your reasoning, because in {n} months you will be the stranger who needs it.",
    "Whoever comes after you will be grateful for {habit} and will never mention it.",
    "Prefer the plain word, the short path and the tool that you already know.",
    "It is fine to stop after {n} of these steps if the result is already good enough.",
    "Around {pct} of the value comes from the first afternoon, and the rest is patience.",
    "Make the good choice the easy choice, and {who} will follow without a memo.",
    "Finally, protect the time for it, since anything without a place in the calendar loses against {pain}.",
)

LIST_INTROS: Final[tuple[str, ...]] = (
    "A few things help right away:",
    "Three questions keep you on course:",
    "In short, remember the following:",
    "What experienced {who} look at first:",
    "A small checklist for {s}:",
)

LIST_ITEMS: Final[tuple[tuple[str, str], ...]] = (
    ("Scope", "say what is in and, more importantly, what is not"),
    ("Baseline", "measure once before you touch anything"),
    ("Owner", "one name, not a committee"),
    ("Rhythm", "a little every week beats a lot every quarter"),
    ("Evidence", "keep the numbers next to the decision"),
    ("Fallback", "know how to get back to yesterday’s state"),
    ("Language", "use the words your readers use"),
    ("Limits", "decide in advance when you will stop"),
    ("Review", "let someone else read it before it matters"),
    ("Defaults", "change them only with a reason you can write down"),
    ("Curiosity", "ask *why* once more than feels polite"),
    ("Rest", "tired people make expensive choices"),
    ("Naming", "a clear name saves a paragraph of explanation"),
    ("Order", "do the irreversible step last"),
)

CLOSERS: Final[tuple[str, ...]] = (
    "Do this once properly, and {gain} becomes the normal state of affairs.",
    "Begin small, begin today, and let the result argue for itself.",
    "That is all it takes to get from {pain} to {gain}.",
    "Come back to this point {when}; you will read it with different eyes.",
    "The rest is practice, and practice with {s} is rarely wasted.",
    "None of this is glamorous — all of it lasts.",
)

SUBHEADS: Final[tuple[str, ...]] = (
    "Where to start",
    "A closer look",
    "What usually goes wrong",
    "In practice",
    "A small experiment",
    "What to remember",
)

# Characters outside ASCII and outside the basic plane: text offsets must survive every one of them. Among them are
# combining marks in decomposed form, a sequence with zero-width joiners, a flag and a right-to-left word.
UNICODE_ASIDES: Final[tuple[str, ...]] = (
    "The Japanese call the attitude behind it 改善 (*kaizen*), change for the better.",
    "A colleague in Zu\u0308rich sums it up as “slowly, but really” 🙂.",
    "In the cafe\u0301 around the corner they would say that good things need a minute 🚀.",
    "Whoever tries it for a week tends to smile afterwards 😀 — and to keep it.",
    "The Chinese saying 千里之行，始于足下 puts it well: a long journey begins under your feet.",
    "A pair programming session 👩‍💻👨‍💻 is a pleasant way to try it.",
    "Greek has a word for the right moment, καιρός, and this is one.",
    "In Brazil 🇧🇷 somebody would answer with a calm “não é difícil”.",
    "The Hebrew word סבלנות, patience, belongs in every good plan.",
    "An old mathematician’s margin note says only: ∀ε > 0, keep going 𝒏 more steps.",
)

LINKS: Final[tuple[tuple[str, str], ...]] = (
    ("the official documentation", "https://example.org/docs/{slug}"),
    ("a longer discussion", "https://example.org/articles/{slug}"),
    ("the change log", "https://example.org/{slug}/changelog"),
    ("this short overview", "https://example.org/learn/{slug}"),
)

TECHNICAL_WORDS: Final[frozenset[str]] = frozenset(
    (
        "ai", "algorithm", "android", "angular", "ansible", "api", "apis", "app", "async", "aws", "azure", "backend",
        "bash", "cache", "cli", "cloud", "code", "coding", "compiler", "css", "data", "database", "databases",
        "debugging", "deploy", "devops", "django", "docker", "elixir", "fastapi", "flask", "frontend", "git",
        "github", "go", "golang", "graphql", "html", "http", "ios", "java", "javascript", "kafka", "kotlin",
        "kubernetes", "laravel", "linux", "microservices", "mongodb", "mysql", "nats", "network", "node", "nodejs",
        "php", "postgres", "postgresql", "programming", "python", "rails", "react", "redis", "regex", "rest", "ruby",
        "rust", "scala", "security", "server", "serverless", "shell", "software", "spring", "sql", "sqlite",
        "svelte", "swift", "symfony", "terraform", "testing", "typescript", "unix", "vim", "vue", "web",
        "websocket", "websockets", "wordpress",
    )
)  # fmt: skip
