"""What the simulator knows about a few subjects: tips with facts and code. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Tip:
    """One piece of advice: an imperative title, sentences that are true of it, and a code sample where one helps."""

    title: str
    facts: tuple[str, ...] = ()
    language: str = ""
    code: str = ""


LARAVEL: Final[tuple[Tip, ...]] = (
    Tip(
        "Eager load relationships to avoid N+1 queries",
        (
            "Looping over posts and touching `$post->author` runs one query for each row.",
            "`with()` fetches the related rows in a single extra query, whatever the size of the list.",
            "`Model::preventLazyLoading()` turns a forgotten relation into an exception outside production.",
        ),
        "php",
        "$posts = Post::with(['author', 'tags'])\n    ->latest()\n    ->paginate(20);",
    ),
    Tip(
        "Move validation into form request classes",
        (
            "A form request keeps rules, messages and authorization in one small class.",
            "The controller then receives data that is already checked, through `$request->validated()`.",
            "The same class can be reused by the web form and by the JSON endpoint.",
        ),
        "php",
        "class StorePostRequest extends FormRequest\n{\n    public function rules(): array\n    {\n"
        "        return ['title' => ['required', 'string', 'max:120']];\n    }\n}",
    ),
    Tip(
        "Push slow work onto queues",
        (
            "Mails, thumbnails and calls to other services do not belong in a request.",
            "A job that implements `ShouldQueue` is stored first and handled by a worker afterwards.",
            "Set `$tries` and `$backoff` on the job, and decide what happens in `failed()`.",
        ),
        "php",
        "SendInvoice::dispatch($order)\n    ->onQueue('mail')\n    ->delay(now()->addMinute());",
    ),
    Tip(
        "Cache configuration and routes before you deploy",
        (
            "`php artisan config:cache` merges all configuration files into one array.",
            "After that, `env()` returns null outside the configuration files, so read `config()` everywhere else.",
            "`php artisan optimize` covers configuration, routes, events and views in one step.",
        ),
        "bash",
        "php artisan config:cache\nphp artisan route:cache\nphp artisan view:cache",
    ),
    Tip(
        "Use route model binding instead of manual lookups",
        (
            "A type-hinted `Post $post` in the controller is loaded by its key, or the reply is a 404.",
            "Scoped bindings make sure that a comment really belongs to the post in the same URL.",
            "With `getRouteKeyName()` the address can carry a slug in place of a number.",
        ),
        "php",
        "Route::get('/posts/{post:slug}', [PostController::class, 'show'])\n    ->scopeBindings();",
    ),
    Tip(
        "Give repeated conditions a name with query scopes",
        (
            "`Post::published()` reads better than the same three `where` clauses in nine files.",
            "Scopes compose, so `published()->recent()` still builds one query.",
            "A global scope is powerful and easy to forget; reach for a local one first.",
        ),
        "php",
        "public function scopePublished(Builder $query): void\n{\n    $query->whereNotNull('published_at');\n}",
    ),
    Tip(
        "Write feature tests around the HTTP layer",
        (
            "One request in a feature test exercises the route, middleware, validation and database together.",
            "`RefreshDatabase` wraps each test in a transaction, which keeps them independent and quick.",
            "Model factories describe only what matters for the case at hand.",
        ),
        "php",
        "$this->actingAs(User::factory()->create())\n    ->post('/posts', ['title' => 'Hello'])\n"
        "    ->assertRedirect()\n    ->assertSessionHasNoErrors();",
    ),
    Tip(
        "Protect models with policies, not with scattered checks",
        (
            "A policy answers one question: may this user do that to this model?",
            "`$this->authorize('update', $post)` replies with 403 before any code of yours has run.",
            "Policies are discovered by name, so there is nothing to register.",
        ),
        "php",
        "public function update(User $user, Post $post): bool\n{\n    return $post->user_id === $user->id;\n}",
    ),
    Tip(
        "Process large tables in chunks",
        (
            "`Model::all()` on a million rows needs memory for a million objects.",
            "`lazyById()` keeps one page in memory and is safe while rows are being updated.",
            "For plain exports `cursor()` hydrates a single model at a time.",
        ),
        "php",
        "Order::where('exported', false)\n    ->lazyById(500)\n    ->each($exporter->add(...));",
    ),
    Tip(
        "Schedule recurring work in code",
        (
            "One cron entry that runs `schedule:run` every minute is enough for the whole application.",
            "`withoutOverlapping()` stops a slow task from running twice at once.",
            "`onOneServer()` matters as soon as a second machine appears.",
        ),
        "php",
        "Schedule::command('reports:send')\n    ->dailyAt('06:30')\n    ->withoutOverlapping()\n    ->onOneServer();",
    ),
    Tip(
        "Broadcast events so that pages update themselves",
        (
            "An event that implements `ShouldBroadcast` leaves the server as soon as the queue handles it.",
            "Private channels ask `routes/channels.php` whether this user may listen.",
            "On the page, Laravel Echo turns the message into a callback of three lines.",
        ),
        "js",
        "Echo.private(`posts.${postId}`)\n    .listen('PostPublished', (event) => show(event));",
    ),
    Tip(
        "Keep secrets in the environment and configuration in files",
        (
            "The `.env` file is for one machine; `config/` is for the application.",
            "Commit `.env.example` with every name and no value.",
            "`php artisan env:encrypt` makes a file that may travel with the repository.",
        ),
        "php",
        "'reports' => [\n    'key' => env('REPORTS_KEY'),\n    'timeout' => (int) env('REPORTS_TIMEOUT', 10),\n],",
    ),
)

PYTHON: Final[tuple[Tip, ...]] = (
    Tip(
        "Pin your dependencies with a lock file",
        (
            "A lock file names every package that is installed, indirect ones included.",
            "Two machines with the same lock file run the same code, which makes bug reports comparable.",
        ),
        "bash",
        "uv lock\nuv sync --frozen",
    ),
    Tip(
        "Write type hints where modules meet",
        (
            "Types at a boundary are documentation that a tool can check.",
            "`mypy --strict` is easiest to switch on one package at a time.",
        ),
        "python",
        "def total(prices: Iterable[Decimal]) -> Decimal:\n    return sum(prices, start=Decimal(0))",
    ),
    Tip(
        "Prefer generators over large lists",
        (
            "A generator holds one item in memory and starts to deliver at once.",
            "`itertools.islice` takes the first few without computing the rest.",
        ),
        "python",
        "def lines(path: Path) -> Iterator[str]:\n    with path.open() as file:\n        yield from file",
    ),
    Tip(
        "Use dataclasses for plain records",
        (
            "`@dataclass(frozen=True, slots=True)` gives equality, a readable form and less memory.",
            "Immutable records can be shared between threads without a second thought.",
        ),
        "python",
        "@dataclass(frozen=True, slots=True)\nclass Point:\n    x: float\n    y: float",
    ),
    Tip(
        "Let context managers clean up",
        (
            "`with` closes the file on every path out of the block, the exception included.",
            "`contextlib.ExitStack` holds a number of resources that is known only at run time.",
        ),
        "python",
        "with ExitStack() as stack:\n    files = [stack.enter_context(open(name)) for name in names]",
    ),
    Tip(
        "Measure before you optimise",
        (
            "`python -m cProfile` shows where the time goes, which is seldom where one guesses.",
            "`timeit` answers small questions without a framework.",
        ),
        "bash",
        "python -m cProfile -s cumulative report.py | head -20",
    ),
)

SECURITY: Final[tuple[Tip, ...]] = (
    Tip(
        "Turn on multi-factor sign-in everywhere",
        (
            "A stolen password alone no longer opens the door.",
            "Hardware keys and passkeys also withstand pages that imitate the real one.",
        ),
    ),
    Tip(
        "Report suspicious mail instead of deleting it",
        (
            "One report warns everybody who received the same message.",
            "Nobody should be blamed for a false alarm; silence is what costs money.",
        ),
    ),
    Tip(
        "Install updates within a week",
        (
            "Most attacks use holes for which a repair has existed for months.",
            "Automatic updates remove the decision, and with it the delay.",
        ),
    ),
    Tip(
        "Grant the least access that works",
        (
            "An account that can read one folder cannot lose the others.",
            "Review rights whenever somebody changes roles, not only when they leave.",
        ),
    ),
    Tip(
        "Practise restoring from backups",
        (
            "A backup that was never restored is a hope, not a plan.",
            "Keep one copy offline, where no malware can encrypt it.",
        ),
    ),
    Tip(
        "Use a password manager",
        (
            "One long passphrase is easier to remember than thirty short ones.",
            "A manager refuses to fill in a password on the wrong domain.",
        ),
    ),
)

PACKS: Final[dict[str, tuple[Tip, ...]]] = {"laravel": LARAVEL, "python": PYTHON, "security": SECURITY}

TIPS_TECHNICAL: Final[tuple[str, ...]] = (
    "Read the release notes before you upgrade",
    "Measure first and optimise afterwards",
    "Automate the steps you repeat every day",
    "Keep configuration out of the code",
    "Write a failing test for every bug you fix",
    "Log with context, not with guesses",
    "Prefer small changes that are easy to undo",
    "Set time limits on every outside call",
    "Delete code that nobody uses",
    "Document decisions next to the code",
    "Review your dependencies once a quarter",
    "Make the local setup a single command",
    "Name things after what they mean",
    "Watch memory as closely as speed",
    "Rehearse a failure before it happens",
    "Fix the slowest test first",
    "Share knowledge in short written notes",
    "Validate input at the boundary",
    "Keep secrets out of the repository",
    "Ask for feedback while it is still cheap",
)

TIPS_GENERAL: Final[tuple[str, ...]] = (
    "Start with one small step",
    "Set a goal that you can measure",
    "Learn the basics before you buy equipment",
    "Make a plan for the first week",
    "Keep a simple journal",
    "Find people who share the interest",
    "Choose quality over quantity",
    "Build a routine around a fixed time",
    "Avoid the most common beginner mistakes",
    "Track progress without judging it",
    "Take breaks before you need them",
    "Ask an expert one good question",
    "Compare a few options side by side",
    "Save money on what does not matter",
    "Celebrate small wins",
    "Prepare for the days when nothing works",
    "Teach somebody what you have learned",
    "Review what worked at the end of the month",
    "Trust your own experience",
    "Enjoy the process, not only the result",
)

# Imperatives to combine with objects when a title asks for more tips than the lists above hold.
VERBS: Final[tuple[str, ...]] = ("Simplify", "Question", "Revisit", "Protect", "Sketch", "Practise", "Explain")
OBJECTS: Final[tuple[str, ...]] = (
    "your first assumption", "the part you like least", "the daily routine", "the handover to others",
    "the unwritten rules", "the weakest link", "the schedule", "the starting point", "the small details",
)  # fmt: skip

TOPIC_SECTIONS: Final[tuple[str, ...]] = (
    "The idea behind {s}",
    "Why it matters now",
    "How to get started",
    "Three ideas worth knowing first",
    "Common mistakes and how to avoid them",
    "What experienced people do differently",
    "A realistic plan for the first month",
    "Where to go from here",
)

HOWTO_SECTIONS: Final[tuple[str, ...]] = (
    "What you need before you begin",
    "Prepare the ground",
    "Take the first step",
    "Check the result early",
    "Improve one thing at a time",
    "Solve the usual problems",
    "Make it last",
)
