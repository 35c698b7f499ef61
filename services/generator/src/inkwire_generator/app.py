"""Puts the generator together and takes it apart in reverse."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nats.aio.msg import Msg

from inkwire_chassis import nats_connection, provisioning
from inkwire_chassis.clock import SystemClock, new_id
from inkwire_chassis.conversation_log import ConversationLog
from inkwire_chassis.event_log import EventLog
from inkwire_chassis.health import Health
from inkwire_chassis.http import health_app, serve_asgi
from inkwire_chassis.jetstream import JetStream
from inkwire_chassis.lifecycle import Supervisor
from inkwire_chassis.logs import get_logger
from inkwire_chassis.settings import OPENAI_URL, SettingsError
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.topology import BUDGETS, CONVERSATIONS, DLQ, EVENTS, JOBS, topology
from inkwire_generator.adapters.budgets import SharedBudget
from inkwire_generator.adapters.gate import Gate
from inkwire_generator.adapters.jobs import JobQueue
from inkwire_generator.adapters.library import StoreLibrary
from inkwire_generator.adapters.log import PostLog
from inkwire_generator.adapters.memory import MIB, MemoryWatch
from inkwire_generator.adapters.prices import BundledPrices
from inkwire_generator.adapters.provider_openai import ProviderConfig
from inkwire_generator.adapters.providers import Providers
from inkwire_generator.adapters.query_embeddings import QueryEmbeddings
from inkwire_generator.adapters.talks import StoredTalks
from inkwire_generator.adapters.worker import Worker, WorkerLimits
from inkwire_generator.budget import RateLimits, budget_key
from inkwire_generator.circuit import CircuitPolicy
from inkwire_generator.claim import Limits
from inkwire_generator.continuation import ContinuationLimits
from inkwire_generator.ports import Library, Prices, Talks
from inkwire_generator.pulse import Pulse
from inkwire_generator.retry import RetryPolicy
from inkwire_generator.runner import Runner, Tools
from inkwire_generator.settings import Fallback, GeneratorSettings
from inkwire_recipes.analysis import operator_job_types, with_job_types
from inkwire_recipes.chat import with_house_rules
from inkwire_recipes.registry import load_recipes
from inkwire_stores import open_document_store, open_store


class NoProvider(SettingsError):
    """No model can be reached with these settings."""


@dataclass(frozen=True, slots=True)
class Running:
    """A generator that works."""

    worker: Worker
    health: Health
    health_port: int


def provider_configs(settings: GeneratorSettings) -> list[ProviderConfig]:
    """The providers' part of the settings, in the order in which they are asked.

    Raises:
        NoProvider: OpenAI without a key, or a key's file that cannot be read.
    """
    key = settings.openai_api_key.get_secret_value()
    if not key and settings.openai_base_url.rstrip("/") == OPENAI_URL:
        raise NoProvider("OPENAI_API_KEY is not set: set it, or point OPENAI_BASE_URL at a server that needs none")
    first = Fallback(
        base_url=settings.openai_base_url,
        model=settings.openai_model,
        max_tokens=settings.openai_max_tokens,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )
    others = [_config(settings, fallback, _key(fallback)) for fallback in settings.fallback_providers]
    return [_config(settings, first, key), *others]


def _key(fallback: Fallback) -> str:
    try:
        return Path(fallback.api_key_file).read_text(encoding="utf-8").strip() if fallback.api_key_file else ""
    except (OSError, UnicodeDecodeError):
        raise NoProvider(
            f"INKWIRE_GENERATOR_FALLBACKS: cannot read the key of {fallback.model} from {fallback.api_key_file}"
        ) from None


def _config(settings: GeneratorSettings, chosen: Fallback, key: str) -> ProviderConfig:
    return ProviderConfig(
        base_url=chosen.base_url,
        api_key=key,
        model=chosen.model,
        max_tokens=chosen.max_tokens,
        first_token_timeout_s=settings.first_token_timeout_s,
        inter_token_timeout_s=settings.inter_token_timeout_s,
        total_timeout_s=settings.total_timeout_s,
        limits=RateLimits(chosen.requests_per_minute, chosen.tokens_per_minute),
    )


def _providers(
    settings: GeneratorSettings, configs: list[ProviderConfig], clock: SystemClock, jetstream: JetStream
) -> Providers:
    def gate(config: ProviderConfig) -> Gate:
        key = budget_key(config.base_url, config.api_key, config.model)
        shared = SharedBudget(key, clock, jetstream if settings.budget_shared else None)
        return Gate(shared, config.limits, asyncio.sleep)

    circuit = CircuitPolicy(settings.circuit_failures_count, settings.circuit_first_open_s, settings.circuit_max_open_s)
    return Providers([(config, gate(config)) for config in configs], clock, circuit, settings.retry_after_limit_s)


@asynccontextmanager
async def _library(settings: GeneratorSettings, config: ProviderConfig) -> AsyncIterator[Library]:
    """The documents, searched by meaning too where a model for it is named."""
    async with AsyncExitStack() as stack:
        documents = await stack.enter_async_context(open_document_store(settings.store_url))
        embeddings = QueryEmbeddings(config, settings.embedding_model) if settings.embedding_model else None
        if embeddings is not None:
            stack.push_async_callback(embeddings.close)
        yield StoreLibrary(documents, embeddings)


def _warn_of_unbounded(settings: GeneratorSettings, configs: list[ProviderConfig], prices: Prices) -> None:
    """A limit in dollars bounds no run that a model without a price has a part in."""
    unknown = [config.model for config in configs if prices.cost_usd(config.model, 1, 1) is None]
    if settings.run_max_cost_usd is not None and settings.run_max_tokens is None and unknown:
        advice = "set INKWIRE_GENERATOR_RUN_MAX_TOKENS, too"
        get_logger().warning("no price is known, so no limit in dollars holds", models=unknown, advice=advice)


def _tools(
    settings: GeneratorSettings, log: PostLog, talks: Talks, library: Library, provider: Providers, clock: SystemClock
) -> Tools:
    recipes = with_job_types(load_recipes(), operator_job_types(settings.job_types))
    return Tools(
        log=log,
        talks=talks,
        library=library,
        provider=provider,
        prices=BundledPrices(simulated=settings.simulated),
        recipes=with_house_rules(recipes, settings.chat_rules),
        clock=clock,
        sleep=asyncio.sleep,
        jitter=random.random,
        policy=RetryPolicy(
            settings.retries_count,
            settings.retry_first_delay_s,
            settings.retry_max_delay_s,
            settings.retry_after_limit_s,
            settings.retry_max_age_s,
            settings.run_max_cost_usd,
            settings.run_max_tokens,
        ),
        limits=Limits(settings.poison_attempts_count, settings.stuck_attempts_count),
        continuations=ContinuationLimits(settings.continuations_count),
        material_chars=settings.material_max_chars,
        worker=settings.worker,
    )


@asynccontextmanager
async def running(settings: GeneratorSettings, supervisor: Supervisor) -> AsyncIterator[Running]:
    """The whole service, for the length of a block; leaving it hands every post over.

    Raises:
        NoProvider: see :func:`provider_configs`.
        Drift: the broker is not provisioned as this version needs it.
        MemoryLimitTooLow: see :class:`MemoryWatch`.
    """
    configs, clock, health = provider_configs(settings), SystemClock(), Health("generator")
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(
            serve_asgi(health_app(health), host=settings.health_host, port=settings.health_port, supervisor=supervisor)
        )
        health.draining = True  # until the broker is there
        store = await stack.enter_async_context(open_store(settings.store_url))
        client = await stack.enter_async_context(nats_connection.connected(settings.nats_url, "generator"))
        jetstream = JetStream(client)
        await jetstream.start()
        queue = JobQueue(jetstream, settings.pool_names, settings.worker)
        wanted = topology(pools=settings.pool_names).of(JOBS, EVENTS, CONVERSATIONS, DLQ, BUDGETS)
        await provisioning.wait_until_provisioned(
            jetstream, wanted, timeout_s=settings.provision_timeout_s, consumers=queue.durables
        )
        provider = _providers(settings, configs, clock, jetstream)
        stack.push_async_callback(provider.close)
        await provider.start()
        events = EventLog(jetstream, new_id)
        log = PostLog(events, store, clock, settings.worker)
        talks = StoredTalks(ConversationLog(jetstream), events, store)
        library = await stack.enter_async_context(_library(settings, configs[0]))
        tools = _tools(settings, log, talks, library, provider, clock)
        _warn_of_unbounded(settings, configs, tools.prices)

        def make_runner(job: Job, deliveries: int, pulse: Pulse) -> Runner:
            return Runner(job, deliveries, tools, pulse)

        lease_s = await queue.lease_s(timeout_s=settings.provision_timeout_s)
        limits = WorkerLimits(settings.posts, lease_s, settings.stall_timeout_s, settings.lease_beats_count)
        worker = Worker(queue, log, make_runner, clock, limits)
        await queue.start()
        await _listen_for_cancels(jetstream, worker)
        health.add("nats", nats_connection.probe(client))
        health.add("topology", lambda: provisioning.verify(jetstream, wanted))
        health.add("provider", _probe_provider(provider))
        if settings.memory_limit_mib is not None:
            memory = MemoryWatch(settings.memory_limit_mib * MIB, worker, health, supervisor)
            health.add("memory", memory.probe)
            supervisor.spawn("memory watch", memory.watch())
        supervisor.spawn("cancel watch", worker.watch_cancels())
        supervisor.spawn("take loop", worker.take_loop())
        health.draining = False
        get_logger().info(
            "ready",
            health_port=port,
            posts=settings.posts,
            pools=settings.pool_names,
            models=[config.model for config in configs],
        )
        try:
            yield Running(worker, health, port)
        finally:
            health.draining = True
            await worker.stop()


MAX_RUN_DIGITS = 9


async def _listen_for_cancels(jetstream: JetStream, worker: Worker) -> None:
    async def on_signal(msg: Msg) -> None:
        run = int(msg.data) if msg.data.isdigit() and len(msg.data) <= MAX_RUN_DIGITS else None
        worker.cancel_told(msg.subject.rpartition(".")[2], run)

    await jetstream.client.subscribe(subjects.cancel_signal("*"), cb=on_signal)


def _probe_provider(provider: Providers) -> nats_connection.Callback:
    """Configured and open; asking the provider itself would make its outages ours."""

    async def probe() -> None:
        if provider.is_closed:
            raise NoProvider

    return probe
