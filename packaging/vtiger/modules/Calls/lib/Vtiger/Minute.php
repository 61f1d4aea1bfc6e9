<?php

/** What the module does once a minute by vTiger's cron: fill, trim, end idle seats, alarm. Each part alone; one that fails stops no other. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Operation\Directory;
use PinCalls\Status\Alarm;

final class Minute
{
    private const FILL_SECONDS = 20;

    public static function run(): void
    {
        $services = Services::get();
        $parts = [
            'numbers' => static function () use ($services): void {
                $before = (int) $services->settings->get('phones_filled_to');
                if ($before >= 0 && $services->clientPhones->fill($services->settings, self::FILL_SECONDS)) {
                    $services->tellConnectors('directory');
                }
            },
            'seats' => static function () use ($services): void {
                $ended = $services->seats->endIdle((int) $services->settings->get('seat_idle_hours') * 3600)
                    + $services->seats->endLoggedOut();
                if ($ended > 0) {
                    $services->tellConnectors('users');
                }
            },
            'alarm' => static function () use ($services): void {
                $mail = new AdminMail($services->db);
                (new Alarm($services->links, $services->connectors, $services->settings, $services->clock, $mail))->check();
            },
            'trim' => static function () use ($services): void {
                $services->commands->trim();
                $services->clicks->trim();
                $services->log->trim((int) $services->settings->get('log_days'));
                (new Directory($services->db, $services->clients, $services->users))->trimJournal();
                $services->db->execute(
                    'DELETE FROM vtiger_calls_ringing WHERE since < ? LIMIT 1000',
                    [(int) $services->clock->now() - 3600]
                );
            },
        ];
        foreach ($parts as $name => $part) {
            try {
                $part();
            } catch (\Throwable $fault) {
                error_log("Calls: cron: $name: " . $fault->getMessage());
            }
        }
    }
}
