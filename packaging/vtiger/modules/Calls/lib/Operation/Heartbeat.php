<?php

/** `heartbeat`: keeps what the connector says of itself and tells it whether asking for users or directory would bring anything. */

declare(strict_types=1);

namespace PinCalls\Operation;

use PinCalls\Click\Commands;
use PinCalls\Clock;
use PinCalls\Number\NumberPlans;
use PinCalls\Settings\Connector;
use PinCalls\Settings\Connectors;
use PinCalls\Settings\Settings;

class Heartbeat
{
    private Connectors $connectors;
    private Settings $settings;
    private Commands $commands;
    private Users $users;
    private Directory $directory;
    private Clock $clock;
    private string $vtigerVersion;

    public function __construct(
        Connectors $connectors,
        Settings $settings,
        Commands $commands,
        Users $users,
        Directory $directory,
        Clock $clock,
        string $vtigerVersion
    ) {
        $this->connectors = $connectors;
        $this->settings = $settings;
        $this->commands = $commands;
        $this->users = $users;
        $this->directory = $directory;
        $this->clock = $clock;
        $this->vtigerVersion = $vtigerVersion;
    }

    /**
     * @param array<string, mixed> $request
     * @return array<string, mixed>
     */
    public function __invoke(array $request, Connector $connector): array
    {
        $now = $this->clock->now();
        $sent = is_string($request['sent_at'] ?? null) ? Clock::fromWire($request['sent_at']) : null;
        $skew = $sent === null ? null : round($now - $sent, 3);
        unset($request['op']);
        $this->connectors->heard($connector, $request + ['clock_skew_seconds' => $skew], (int) $now);
        if ($this->setsNumbering($connector)) {
            $this->takeNumbering($request);
        }
        $answer = [
            'vtiger' => $this->vtigerVersion,
            'users_revision' => $this->users->revision($this->connectors->byId($connector->id) ?? $connector),
            'fetches_recordings' => $connector->reachable && $connector->url !== '',
            'directory_head' => $this->directory->headCursor(),
            'commands_waiting' => count($this->commands->waiting($connector->id)),
        ];
        return $skew === null ? $answer : $answer + ['clock_skew_seconds' => $skew];
    }

    /**
     * One table of numbers is read in one way. Of several connectors, in other cities or countries, the first in the list says how: would
     * each, the table were filled anew with every heartbeat.
     */
    private function setsNumbering(Connector $connector): bool
    {
        foreach ($this->connectors->enabled() as $one) {
            if ($one->heardAt > 0) {
                return $one->id === $connector->id;
            }
        }
        return true;
    }

    /**
     * The connector says how numbers are read. Numbers in the table were read the old way, so a change has it filled again.
     *
     * @param array<string, mixed> $request
     */
    private function takeNumbering(array $request): void
    {
        $region = is_string($request['region'] ?? null) ? strtoupper($request['region']) : '';
        $lastDigits = $request['last_digits'] ?? null;
        $changed = false;
        if (NumberPlans::region($region) !== null && $region !== $this->settings->get('region')) {
            $this->settings->set('region', $region);
            $changed = true;
        }
        $areaCode = is_string($request['area_code'] ?? null) ? $request['area_code'] : '';
        if (preg_match('/^\d{0,6}$/', $areaCode) && $areaCode !== $this->settings->get('area_code')) {
            $this->settings->set('area_code', $areaCode);
            $changed = true;
        }
        if (is_int($lastDigits) && $lastDigits >= 7 && $lastDigits <= 15 && $lastDigits !== $this->settings->get('last_digits')) {
            $this->settings->set('last_digits', $lastDigits);
            $changed = true;
        }
        if ($changed) {
            $this->settings->set('phones_filled_to', 0);
        }
    }
}
