<?php

/**
 * A call from the screen. The browser says a number and a record; from which extension, PBX and context and with which caller id it is
 * dialled comes from the user of the session, never from the browser.
 */

declare(strict_types=1);

namespace PinCalls\Click;

use PinCalls\Clock;
use PinCalls\Identity\Rights;
use PinCalls\Identity\UserFinder;
use PinCalls\Record\Companions;
use PinCalls\Settings\Connector;
use PinCalls\Settings\Connectors;
use PinCalls\Settings\Groups;
use PinCalls\Status\LinkState;

class ClickToCall
{
    /** A command fetched later than this must not dial any more: the user has given up. */
    private const FETCH_WITHIN_SECONDS = 25;

    private Connectors $connectors;
    private Groups $groups;
    private UserFinder $users;
    private Rights $rights;
    private Companions $companions;
    private Commands $commands;
    private Clicks $clicks;
    private ConnectorClient $client;
    private LinkState $links;
    private Clock $clock;

    public function __construct(
        Connectors $connectors,
        Groups $groups,
        UserFinder $users,
        Rights $rights,
        Companions $companions,
        Commands $commands,
        Clicks $clicks,
        ConnectorClient $client,
        LinkState $links,
        Clock $clock
    ) {
        $this->connectors = $connectors;
        $this->groups = $groups;
        $this->users = $users;
        $this->rights = $rights;
        $this->companions = $companions;
        $this->commands = $commands;
        $this->clicks = $clicks;
        $this->client = $client;
        $this->links = $links;
        $this->clock = $clock;
    }

    /**
     * @return array{request: string, state: string, reason: string} state `refused` with a reason, or as the connector has it
     */
    public function place(int $userId, string $number, int $recordId): array
    {
        if (!$this->rights->mayUse($userId, 'ClickToCall')) {
            return self::refused('not_allowed');
        }
        $to = self::dialable($number);
        if ($to === '') {
            return self::refused('bad_number');
        }
        $route = $this->route($userId);
        if (is_string($route)) {
            return self::refused($route);
        }
        [$connector, $call] = $route;
        $request = bin2hex(random_bytes(16));
        $call = ['request' => $request] + $call + ['to' => $to, 'user' => (string) $userId];
        if ($recordId > 0) {
            $call['crm_record'] = (string) $recordId;
            $client = $this->companions->clientOfRecord($recordId);
            if ($client !== null && $client->callerId !== '') {
                $call['caller_id'] = $client->callerId;
            }
        }
        if ($connector->reachable && $connector->url !== '') {
            $answer = $this->client->ask($connector, 'POST', '/api/v1/calls', $call);
            if ($answer['status'] !== 0) {
                return $this->answered($request, $connector, $userId, $to, $answer);
            }
            // No connection was made or no answer came. The same request may go the other way: it is dialled once at most.
        }
        $expiresAt = (int) $this->clock->now() + self::FETCH_WITHIN_SECONDS;
        $this->clicks->begin($request, $connector->id, $userId, $to, 'waiting');
        $this->commands->give($connector->id, 'call', ['call' => $call], $expiresAt);
        return ['request' => $request, 'state' => 'waiting', 'reason' => ''];
    }

    /** @return array{request: string, state: string, reason: string} for the user who clicked only */
    public function state(int $userId, string $request): array
    {
        $click = $this->clicks->of($request);
        if ($click === null || $click['user'] !== $userId) {
            return self::refused('unknown_request');
        }
        $connector = $this->connectors->byId($click['connector']);
        $ended = in_array($click['state'], ['done', 'failed'], true);
        if (!$ended && $connector !== null && $connector->reachable && $connector->url !== '') {
            $answer = $this->client->ask($connector, 'GET', "/api/v1/calls/$request");
            if ($answer['status'] === 200) {
                $state = (string) ($answer['body']['state'] ?? '');
                $this->clicks->goesOn($request, $connector->id, $state, (string) ($answer['body']['reason'] ?? ''));
            }
        }
        $age = (int) $this->clock->now() - $click['since'];
        if ($click['state'] === 'waiting' && $age > self::FETCH_WITHIN_SECONDS) {
            $this->clicks->goesOn($request, $click['connector'], 'failed', 'not_fetched');
        }
        $click = $this->clicks->of($request) ?? $click;
        return ['request' => $request, 'state' => $click['state'], 'reason' => $click['reason']];
    }

    /** @return array{request: string, state: string, reason: string} */
    public function cancel(int $userId, string $request): array
    {
        $click = $this->clicks->of($request);
        $connector = $click === null ? null : $this->connectors->byId($click['connector']);
        if ($click === null || $click['user'] !== $userId || $connector === null) {
            return self::refused('unknown_request');
        }
        $asked = ['status' => 0];
        if ($connector->reachable && $connector->url !== '') {
            $asked = $this->client->ask($connector, 'DELETE', "/api/v1/calls/$request");
        }
        if ($asked['status'] === 0) {
            $expiresAt = (int) $this->clock->now() + self::FETCH_WITHIN_SECONDS;
            $this->commands->give($connector->id, 'cancel', ['request' => $request], $expiresAt);
        }
        $this->clicks->goesOn($request, $connector->id, 'failed', 'cancelled');
        return ['request' => $request, 'state' => 'failed', 'reason' => 'cancelled'];
    }

    /**
     * A number as the connector's guard takes it: digits with a leading plus; spaces, dashes, dots and brackets go, as does an
     * extension behind it. Anything else is no number.
     */
    public static function dialable(string $written): string
    {
        $text = (string) preg_replace('/^\s*tel:/i', '', $written);
        $text = (string) preg_replace('/[\s,;(]*(?:доб|вн|ext|x)[\s.:]*\d{1,10}\)?\s*$/iu', '', $text);
        $text = (string) preg_replace('/[\s\x{a0}().\-\x{2010}-\x{2015}]+/u', '', $text);
        return preg_match('/^\+?[0-9*#]{1,31}$/', $text) ? $text : '';
    }

    /** @return string|array{0: Connector, 1: array<string, string>} a reason, or where and as whom to dial */
    private function route(int $userId)
    {
        $rows = $this->groups->of($this->rights->groupsOf($userId));
        $connectors = $this->connectors->enabled();
        if ($connectors === []) {
            return 'no_connector';
        }
        $why = 'no_extension';
        foreach ($this->users->extensionsNow($userId) as $own) {
            $row = self::rowFor($rows, $own['pbx']);
            $pbx = $own['pbx'] !== '' ? $own['pbx'] : ($row['pbx'] ?? '');
            foreach (self::connectorsFor($connectors, (int) ($row['connector'] ?? 0), $pbx) as $connector) {
                $broken = $this->broken($connector, $pbx);
                if ($broken === '') {
                    return [$connector, array_filter([
                        'from' => $own['extension'], 'pbx' => $pbx, 'context' => (string) ($row['context'] ?? ''),
                        'caller_id' => (string) ($row['caller_id'] ?? ''),
                    ], 'strlen')];
                }
                // A connector that is there and says what is wrong knows better than one that is silent.
                $why = $why === 'no_extension' || $broken === 'pbx_down' ? $broken : $why;
            }
        }
        return $why;
    }

    /** Why this connector cannot dial there now; empty where it can. */
    private function broken(Connector $connector, string $pbx): string
    {
        if ($connector->heardAt > 0 && $this->links->silentSince($connector) > 0) {
            return 'connector_silent';
        }
        return $pbx !== '' && $this->links->downSince($connector, $pbx) > 0 ? 'pbx_down' : '';
    }

    /**
     * @param list<array<string, mixed>> $rows in order of priority
     * @return array<string, mixed>
     */
    private static function rowFor(array $rows, string $pbx): array
    {
        foreach ($rows as $row) {
            if ($pbx === '' || $row['pbx'] === '' || $row['pbx'] === $pbx) {
                return $row;
            }
        }
        return [];
    }

    /**
     * Those that may dial for him, the ones that have been heard of first.
     *
     * @param list<Connector> $connectors
     * @return list<Connector>
     */
    private static function connectorsFor(array $connectors, int $named, string $pbx): array
    {
        $fit = array_filter($connectors, static function (Connector $connector) use ($named, $pbx): bool {
            $knows = $pbx === '' || $connector->pbxs() === [] || in_array($pbx, $connector->pbxs(), true);
            return $knows && ($named === 0 || $named === $connector->id);
        });
        usort($fit, static function (Connector $a, Connector $b): int {
            return [$a->heardAt === 0, $a->id] <=> [$b->heardAt === 0, $b->id];
        });
        return $fit;
    }

    /**
     * @param array{status: int, body: array<string, mixed>, fault: string} $answer
     * @return array{request: string, state: string, reason: string}
     */
    private function answered(string $request, Connector $connector, int $userId, string $to, array $answer): array
    {
        if ($answer['status'] === 202 || $answer['status'] === 200) {
            $this->clicks->begin($request, $connector->id, $userId, $to, 'queued');
            return ['request' => $request, 'state' => 'queued', 'reason' => ''];
        }
        $byStatus = [
            400 => 'bad_number', 404 => 'unknown_pbx', 409 => 'already_ringing', 422 => 'forbidden_number',
            429 => 'too_many', 503 => 'pbx_down',
        ];
        return self::refused($byStatus[$answer['status']] ?? 'connector_refused');
    }

    /** @return array{request: string, state: string, reason: string} */
    private static function refused(string $reason): array
    {
        return ['request' => '', 'state' => 'refused', 'reason' => $reason];
    }
}
