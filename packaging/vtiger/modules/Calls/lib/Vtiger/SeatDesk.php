<?php

/** Where users take and leave the extension of the day; the connectors are told at once. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

final class SeatDesk
{
    private Services $services;

    public function __construct(Services $services)
    {
        $this->services = $services;
    }

    /** @return array<string, mixed> `seat` and, if it was somebody's, `taken_from`; or `error` */
    public function take(int $userId, string $pbx, string $extension): array
    {
        if (!$this->services->rights->mayUse($userId, 'TakeExtension')) {
            return ['error' => 'not_allowed'];
        }
        if (!preg_match('/^\d{2,10}$/', $extension)) {
            return ['error' => 'bad_extension'];
        }
        if ($pbx !== '' && !in_array($pbx, $this->pbxs(), true)) {
            return ['error' => 'unknown_pbx'];
        }
        $until = $this->endOfDay();
        $from = $this->services->seats->take($userId, $pbx, $extension, $until);
        $this->services->tellConnectors('users');
        $result = ['seat' => ['pbx' => $pbx, 'extension' => $extension, 'until' => $until]];
        return $from === 0 ? $result : $result + ['taken_from' => $this->services->users->name($from)];
    }

    public function leave(int $userId): void
    {
        if ($this->services->seats->leave($userId)) {
            $this->services->tellConnectors('users');
        }
    }

    /** @return list<string> every PBX a connector has told of */
    public function pbxs(): array
    {
        $pbxs = [];
        foreach ($this->services->connectors->enabled() as $connector) {
            $pbxs = array_merge($pbxs, $connector->pbxs());
        }
        return array_values(array_unique($pbxs));
    }

    /** The set hour of the night, by the clock of the CRM's administrators. */
    private function endOfDay(): int
    {
        $zone = (string) \Users::getActiveAdminUser()->time_zone ?: 'UTC';
        $now = new \DateTimeImmutable('@' . (int) $this->services->clock->now());
        $local = $now->setTimezone(new \DateTimeZone($zone));
        $end = $local->setTime((int) $this->services->settings->get('seat_end_hour'), 0);
        return ($end <= $local ? $end->modify('+1 day') : $end)->getTimestamp();
    }
}
