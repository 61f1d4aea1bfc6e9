<?php

/** `commands`: takes what the connector tells of the last ones and waits until there is something new for it. */

declare(strict_types=1);

namespace PinCalls\Operation;

use PinCalls\Click\Clicks;
use PinCalls\Click\Commands;
use PinCalls\Settings\Connector;

class FetchCommands
{
    private const WAIT_SECONDS_MAX = 25;
    private const LOOK_EVERY_MS = 300;

    private Commands $commands;
    private Clicks $clicks;
    /** @var callable(int): void */
    private $sleepMs;

    /** @param callable(int): void $sleepMs */
    public function __construct(Commands $commands, Clicks $clicks, callable $sleepMs)
    {
        $this->commands = $commands;
        $this->clicks = $clicks;
        $this->sleepMs = $sleepMs;
    }

    /**
     * @param array<string, mixed> $request
     * @return array<string, mixed>
     */
    public function __invoke(array $request, Connector $connector): array
    {
        foreach (self::objects($request['done'] ?? null) as $done) {
            $this->take($done, $connector);
        }
        foreach (self::objects($request['requests'] ?? null) as $state) {
            $this->clicks->goesOn(
                self::text($state, 'request'),
                $connector->id,
                self::text($state, 'state'),
                self::text($state, 'reason')
            );
        }
        $waitS = is_int($request['wait_s'] ?? null) ? max(0, min(self::WAIT_SECONDS_MAX, $request['wait_s'])) : 0;
        $looksLeft = intdiv($waitS * 1000, self::LOOK_EVERY_MS);
        $waiting = $this->commands->waiting($connector->id);
        while ($waiting === [] && $looksLeft-- > 0) {
            ($this->sleepMs)(self::LOOK_EVERY_MS);
            $waiting = $this->commands->waiting($connector->id);
        }
        return ['commands' => $waiting];
    }

    /** @param array<string, mixed> $done */
    private function take(array $done, Connector $connector): void
    {
        $command = $this->commands->done($connector->id, (int) ($done['id'] ?? 0));
        if ($command === null || $command['command'] !== 'call') {
            return;
        }
        $ok = ($done['ok'] ?? false) === true;
        $request = is_array($command['call'] ?? null) ? self::text($command['call'], 'request') : '';
        $reason = $ok ? '' : self::text($done, 'error');
        $this->clicks->goesOn($request, $connector->id, $ok ? 'queued' : 'failed', $reason);
    }

    /**
     * @param mixed $list
     * @return list<array<string, mixed>>
     */
    private static function objects($list): array
    {
        return array_values(array_filter(is_array($list) ? array_slice($list, 0, 1000) : [], 'is_array'));
    }

    /** @param array<string, mixed> $object */
    private static function text(array $object, string $key): string
    {
        return is_string($object[$key] ?? null) ? mb_substr($object[$key], 0, 200) : '';
    }
}
