<?php

/**
 * One call as the connector sends it, checked once at the edge: whoever holds a CallRecord need not doubt its types. What the
 * record means for vTiger (owner, client, fields) is not decided here.
 */

declare(strict_types=1);

namespace PinCalls\Record;

use PinCalls\Clock;

final class CallRecord
{
    /** Names that are cut rather than refused when too long, with the width of their column. */
    private const TEXTS = [
        'client_number' => 64, 'client_name' => 200, 'client_number_normalized' => 32, 'from' => 64, 'to' => 64,
        'did' => 64, 'extension' => 32, 'phone' => 64, 'trunk' => 100, 'queue' => 100, 'menu' => 200,
        'voicemail' => 100, 'transferred_from' => 64, 'transferred_to' => 64, 'picked_up_from' => 64,
        'request' => 64, 'crm_record' => 32, 'follow_up_call' => 120, 'reason' => 40, 'ended_by' => 20,
        'transfer' => 20, 'source' => 20, 'follow_up' => 40, 'crm' => 100, 'superseded_by' => 120,
    ];
    /** Texts that may be an extension, which a connector of several exchanges writes as `msk/101`. */
    private const EXTENSIONS = ['extension', 'from', 'to', 'transferred_from', 'transferred_to', 'picked_up_from'];
    private const SECONDS = ['ring_seconds', 'talk_seconds', 'total_seconds', 'wait_seconds'];
    private const TIMES = ['started_at', 'answered_at', 'ended_at', 'followed_up_at'];
    private const FLAGS = ['lead', 'click_to_call', 'outside_hours', 'live'];
    private const COUNTS = ['hangup_cause', 'follow_up_tries'];

    public string $id;
    public string $conversation;
    public string $pbx;
    public int $revision;
    /** Of the lease under which it was sent; 0: the connector stands alone. */
    public int $term;
    public string $direction;
    public string $status;
    public float $startedAt;
    /** @var array<string, string> */
    private array $texts = [];
    /** @var array<string, float> */
    private array $seconds = [];
    /** @var array<string, float> unix seconds */
    private array $times = [];
    /** @var array<string, bool> */
    private array $flags = [];
    /** @var array<string, int> */
    private array $counts = [];
    /** @var list<array{id: string, file: string, state: string, started_at: string}> */
    public array $recordings = [];
    /** @var list<array<string, mixed>> */
    public array $timeline = [];
    /** @var array<string, string> */
    public array $variables = [];

    private function __construct()
    {
    }

    /**
     * @param mixed $wire what json_decode gave
     * @throws BadRecord
     */
    public static function fromWire($wire): self
    {
        if (!is_array($wire)) {
            throw new BadRecord('the record is not an object');
        }
        $call = new self();
        $call->id = self::name($wire, 'id');
        $call->conversation = self::name($wire, 'conversation');
        $call->pbx = self::name($wire, 'pbx');
        if (!is_int($wire['revision'] ?? null) || $wire['revision'] < 1) {
            throw new BadRecord('revision: a positive whole number is needed');
        }
        $call->revision = $wire['revision'];
        if (!is_int($wire['term'] ?? 0) || ($wire['term'] ?? 0) < 0) {
            throw new BadRecord('term: a whole number is needed');
        }
        $call->term = $wire['term'] ?? 0;
        $call->direction = self::word($wire, 'direction', Words::DIRECTIONS);
        $call->status = self::word($wire, 'status', Words::STATUSES);
        foreach (self::TEXTS as $key => $width) {
            $call->readText($wire, $key, $width);
        }
        foreach (self::EXTENSIONS as $key) {
            $call->withoutItsPbx($key);
        }
        foreach (self::SECONDS as $key) {
            $call->readSeconds($wire, $key);
        }
        foreach (self::TIMES as $key) {
            $call->readTime($wire, $key);
        }
        foreach (self::FLAGS as $key) {
            $call->readFlag($wire, $key);
        }
        foreach (self::COUNTS as $key) {
            $call->readCount($wire, $key);
        }
        if (!isset($call->times['started_at'])) {
            throw new BadRecord('started_at is missing');
        }
        $call->startedAt = $call->times['started_at'];
        $call->readRecordings($wire['recordings'] ?? []);
        $call->timeline = self::steps($wire['timeline'] ?? []);
        foreach (is_array($wire['variables'] ?? null) ? $wire['variables'] : [] as $name => $value) {
            if (is_scalar($value)) {
                $call->variables[(string) $name] = (string) $value;
            }
        }
        return $call;
    }

    public function text(string $key): string
    {
        return $this->texts[$key] ?? '';
    }

    public function seconds(string $key): ?float
    {
        return $this->seconds[$key] ?? null;
    }

    /** @return float|null unix seconds */
    public function time(string $key): ?float
    {
        return $this->times[$key] ?? null;
    }

    public function is(string $flag): bool
    {
        return $this->flags[$flag] ?? false;
    }

    public function count(string $key): ?int
    {
        return $this->counts[$key] ?? null;
    }

    /** The number of the client as it is best compared: the connector's E.164, else as Asterisk gave it. */
    public function clientNumber(): string
    {
        return $this->text('client_number_normalized') ?: $this->text('client_number');
    }

    /** What the record is about within its conversation: extension or outside phone; empty where no phone was tried. */
    public function party(): string
    {
        return $this->text('extension') ?: $this->text('phone');
    }

    /** The n of `<conversation>-<n>`: from 1001 on the connector began in mid-call and did not know the call's own n. */
    public function beganInMidCall(): bool
    {
        $dash = strrpos($this->id, '-');
        return $dash !== false && (int) substr($this->id, $dash + 1) > 1000;
    }

    public function isOpen(): bool
    {
        return in_array($this->status, Words::OPEN_STATUSES, true);
    }

    /** @param array<string, mixed> $wire */
    private static function name(array $wire, string $key): string
    {
        $value = $wire[$key] ?? null;
        if (!is_string($value) || !preg_match('/^[\x21-\x7e]{1,120}$/', $value)) {
            throw new BadRecord("$key: 1 to 120 printable characters without spaces are needed");
        }
        return $value;
    }

    /**
     * @param array<string, mixed> $wire
     * @param list<string> $known
     */
    private static function word(array $wire, string $key, array $known): string
    {
        $value = $wire[$key] ?? null;
        if (!is_string($value) || !in_array($value, $known, true)) {
            $shown = is_string($value) ? '"' . mb_substr($value, 0, 40) . '"' : gettype($value);
            throw new BadRecord("$key: $shown is none of " . implode(', ', $known));
        }
        return $value;
    }

    /** @param array<string, mixed> $wire */
    private function readText(array $wire, string $key, int $width): void
    {
        $value = $wire[$key] ?? null;
        if (is_int($value)) {
            $value = (string) $value;
        }
        if ($value === null || $value === '') {
            return;
        }
        if (!is_string($value)) {
            throw new BadRecord("$key: a text is needed");
        }
        // vTiger's tables are utf8mb3: a character of four bytes would cut the value, or fail the whole row in strict mode.
        $plain = (string) preg_replace('/[\x{10000}-\x{10FFFF}]/u', "\u{FFFD}", $value);
        $plain = trim((string) preg_replace('/[\x00-\x1f\x7f]+/', ' ', $plain));
        $this->texts[$key] = mb_substr($plain, 0, $width);
    }

    /** The exchange stands in a field of its own; here the extension is as people know it. */
    private function withoutItsPbx(string $key): void
    {
        $prefix = $this->pbx . '/';
        if (strncmp($this->text($key), $prefix, strlen($prefix)) === 0) {
            $this->texts[$key] = substr($this->texts[$key], strlen($prefix));
        }
    }

    /** @param array<string, mixed> $wire */
    private function readSeconds(array $wire, string $key): void
    {
        $value = $wire[$key] ?? null;
        if ($value === null) {
            return;
        }
        if ((!is_int($value) && !is_float($value)) || $value < 0 || $value > 100000000) {
            throw new BadRecord("$key: seconds are needed, zero or more");
        }
        $this->seconds[$key] = (float) $value;
    }

    /** @param array<string, mixed> $wire */
    private function readTime(array $wire, string $key): void
    {
        $value = $wire[$key] ?? null;
        if ($value === null) {
            return;
        }
        $moment = is_string($value) ? Clock::fromWire($value) : null;
        if ($moment === null) {
            throw new BadRecord("$key: a time as 2026-11-22T10:00:00.120Z is needed");
        }
        $this->times[$key] = $moment;
    }

    /** @param array<string, mixed> $wire */
    private function readFlag(array $wire, string $key): void
    {
        $value = $wire[$key] ?? null;
        if ($value !== null && !is_bool($value)) {
            throw new BadRecord("$key: true or false is needed");
        }
        $this->flags[$key] = $value === true;
    }

    /** @param array<string, mixed> $wire */
    private function readCount(array $wire, string $key): void
    {
        $value = $wire[$key] ?? null;
        if ($value === null) {
            return;
        }
        if (!is_int($value) || $value < 0 || $value > 1000000) {
            throw new BadRecord("$key: a whole number is needed");
        }
        $this->counts[$key] = $value;
    }

    /** @param mixed $recordings */
    private function readRecordings($recordings): void
    {
        if (!is_array($recordings)) {
            throw new BadRecord('recordings: a list is needed');
        }
        foreach (array_slice($recordings, 0, 50) as $recording) {
            $id = is_array($recording) ? ($recording['id'] ?? null) : null;
            // The id becomes a part of an address: nothing in it may mean anything there.
            if (!is_string($id) || !preg_match('/^[\w.-]{1,100}$/', $id)) {
                throw new BadRecord('recordings: every one needs an id of letters, digits, dot, dash and underscore');
            }
            // A file without any sound in it is no recording.
            if (($recording['state'] ?? '') === 'empty') {
                continue;
            }
            $file = is_string($recording['file'] ?? null) ? mb_substr($recording['file'], 0, 250) : '';
            $state = $recording['state'] ?? 'ready';
            $state = in_array($state, ['recording', 'deleted', 'unavailable'], true) ? $state : 'ready';
            $started = is_string($recording['started_at'] ?? null) ? $recording['started_at'] : '';
            $started = Clock::fromWire($started) === null ? '' : $started;
            $this->recordings[] = ['id' => $id, 'file' => $file, 'state' => $state, 'started_at' => $started];
        }
    }

    /**
     * @param mixed $timeline
     * @return list<array<string, mixed>>
     */
    private static function steps($timeline): array
    {
        $steps = [];
        foreach (is_array($timeline) ? array_slice($timeline, 0, 500) : [] as $step) {
            $at = is_array($step) && is_string($step['at'] ?? null) ? Clock::fromWire($step['at']) : null;
            if ($at !== null && is_string($step['step'] ?? null)) {
                $steps[] = array_filter($step, static function ($value): bool {
                    return is_scalar($value);
                });
            }
        }
        return $steps;
    }
}
