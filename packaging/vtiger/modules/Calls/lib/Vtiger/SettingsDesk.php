<?php

/** Carries out what an administrator changes on the settings page. Who he is was checked before. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Click\ConnectorClient;
use PinCalls\Identity\ClientFinder;
use PinCalls\Install\Installer;
use PinCalls\Settings\Connector;
use PinCalls\Settings\Connectors;

final class SettingsDesk
{
    private Services $services;

    public function __construct(Services $services)
    {
        $this->services = $services;
    }

    /**
     * @param array<string, mixed> $given
     * @return array<string, mixed> `message` (a label) and more where there is more
     * @throws \InvalidArgumentException with a label
     */
    public function change(string $what, array $given): array
    {
        switch ($what) {
            case 'connector':
                return $this->connector($given);
            case 'remove_connector':
                $this->services->connectors->remove((int) $given['id']);
                return self::saved();
            case 'new_secret':
                $connector = $this->known($given);
                $connector->secret = Connectors::newSecret();
                $this->services->connectors->change($connector);
                return self::saved() + ['secret' => $connector->secret];
            case 'show_secret':
                return self::saved() + ['secret' => $this->known($given)->secret];
            case 'test':
                return $this->test($this->known($given));
            case 'group':
                return $this->group($given);
            case 'owner':
                return $this->owner($given);
            case 'deputy':
                $this->services->deputies->set((int) $given['user'], (int) $given['deputy']);
                $this->services->tellConnectors('users');
                return self::saved();
            case 'rules':
                return $this->rules($given);
            case 'repair':
                (new Installer($this->services->db))->run();
                return ['message' => 'LBL_CALLS_REPAIRED'];
        }
        throw new \InvalidArgumentException('LBL_PERMISSION_DENIED');
    }

    /**
     * @param array<string, mixed> $given
     * @return array<string, mixed>
     */
    private function connector(array $given): array
    {
        $key = trim((string) ($given['key'] ?? ''));
        $url = rtrim(trim((string) ($given['url'] ?? '')), '/');
        if (!preg_match('/^[\w.-]{1,100}$/', $key)) {
            throw new \InvalidArgumentException('LBL_CALLS_BAD_KEY');
        }
        if ($url !== '' && !preg_match('#^https?://[^\s/?\#@]+(/[^\s?\#]*)?$#i', $url)) {
            throw new \InvalidArgumentException('LBL_CALLS_BAD_URL');
        }
        $id = (int) ($given['id'] ?? 0);
        $same = $this->services->connectors->byKey($key);
        if ($same !== null && $same->id !== $id) {
            throw new \InvalidArgumentException('LBL_CALLS_KEY_TAKEN');
        }
        $name = mb_substr(trim((string) ($given['name'] ?? '')), 0, 100) ?: $key;
        if ($id === 0) {
            $made = $this->services->connectors->add($name, $key, $url);
            return self::saved() + ['id' => $made->id, 'secret' => $made->secret];
        }
        $connector = $this->known($given);
        $connector->name = $name;
        $connector->key = $key;
        $connector->reachable = $connector->reachable && $connector->url === $url;
        $connector->url = $url;
        $connector->enabled = !empty($given['enabled']);
        $this->services->connectors->change($connector);
        return self::saved() + ['id' => $connector->id];
    }

    /**
     * Asks for a call that cannot exist: 404 in the connector's own words says that it is there and takes our signature.
     *
     * @return array<string, mixed>
     */
    private function test(Connector $connector): array
    {
        $there = false;
        $refused = false;
        if ($connector->url !== '') {
            $client = new ConnectorClient($this->services->log, $this->services->clock);
            $answer = $client->ask($connector, 'GET', '/api/v1/calls/' . bin2hex(random_bytes(16)));
            $there = $answer['status'] === 404 && isset($answer['body']['error']);
            $refused = in_array($answer['status'], [401, 403], true);
        }
        $connector->reachable = $there;
        $this->services->connectors->change($connector);
        $heard = $connector->heardAt > 0 && $this->services->links->silentSince($connector) === 0;
        $message = 'LBL_CALLS_TEST_NOT_REACHED';
        if ($refused) {
            $message = 'LBL_CALLS_TEST_REFUSED';
        } elseif ($there) {
            $message = $heard ? 'LBL_CALLS_TEST_OK' : 'LBL_CALLS_TEST_NO_HEARTBEAT';
        } elseif ($heard) {
            $message = 'LBL_CALLS_TEST_HEARS_US';
        }
        return ['message' => $message, 'reachable' => $there, 'heard' => $heard];
    }

    /**
     * @param array<string, mixed> $given
     * @return array<string, mixed>
     */
    private function group(array $given): array
    {
        $groupId = (int) $given['group'];
        if (!$this->services->users->isGroup($groupId)) {
            throw new \InvalidArgumentException('LBL_PERMISSION_DENIED');
        }
        $allowed = (array) $this->services->settings->get('caller_ids');
        $callerId = self::short($given, 'caller_id');
        if ($callerId !== '' && $allowed !== [] && !in_array($callerId, $allowed, true)) {
            throw new \InvalidArgumentException('LBL_CALLS_BAD_CALLER_ID');
        }
        if (!empty($given['remove'])) {
            $this->services->groups->remove($groupId);
        } else {
            $this->services->groups->set(
                $groupId,
                max(1, (int) ($given['priority'] ?? 1)),
                max(0, (int) ($given['connector'] ?? 0)),
                self::short($given, 'pbx'),
                self::short($given, 'context'),
                $callerId
            );
        }
        $this->services->tellConnectors('users');
        return self::saved();
    }

    /**
     * @param array<string, mixed> $given
     * @return array<string, mixed>
     */
    private function owner(array $given): array
    {
        $kind = (string) ($given['kind'] ?? '');
        $value = self::short($given, 'value');
        $owner = (int) ($given['owner'] ?? 0);
        if (!in_array($kind, ['queue', 'did', 'pbx'], true) || $value === '') {
            throw new \InvalidArgumentException('LBL_PERMISSION_DENIED');
        }
        $this->services->db->execute('DELETE FROM vtiger_calls_owner WHERE kind = ? AND value = ?', [$kind, $value]);
        if (empty($given['remove'])) {
            if (!$this->services->users->isOwner($owner)) {
                throw new \InvalidArgumentException('LBL_PERMISSION_DENIED');
            }
            $this->services->db->execute(
                'INSERT INTO vtiger_calls_owner (kind, value, ownerid) VALUES (?, ?, ?)',
                [$kind, $value, $owner]
            );
        }
        return self::saved();
    }

    /**
     * @param array<string, mixed> $given
     * @return array<string, mixed>
     */
    private function rules(array $given): array
    {
        $settings = $this->services->settings;
        if (isset($given['caller_ids'])) {
            $settings->set('caller_ids', self::callerIds((string) $given['caller_ids']));
        }
        $first = (string) ($given['client_modules'] ?? '');
        $modules = array_values(array_unique(array_merge(
            in_array($first, ClientFinder::MODULES, true) ? [$first] : [],
            ['Contacts', 'Accounts', 'Leads']
        )));
        $settings->set('client_modules', $modules);
        $settings->set('client_among_equals', ($given['client_among_equals'] ?? '') === 'oldest' ? 'oldest' : 'newest');
        $newcomer = (string) ($given['create_client'] ?? '');
        $settings->set('create_client', in_array($newcomer, ClientFinder::MODULES, true) ? $newcomer : '');
        $settings->set('log_days', max(1, min(365, (int) ($given['log_days'] ?? 7))));
        $settings->set('seat_idle_hours', max(1, min(168, (int) ($given['seat_idle_hours'] ?? 12))));
        $settings->set('seat_end_hour', max(0, min(23, (int) ($given['seat_end_hour'] ?? 3))));
        $settings->set('popup', !empty($given['popup']));
        $settings->set('remove_data_on_uninstall', !empty($given['remove_data_on_uninstall']));
        $this->services->tellConnectors('directory');
        return self::saved();
    }

    /**
     * @return list<string>
     * @throws \InvalidArgumentException with a label
     */
    public static function callerIds(string $written): array
    {
        $numbers = [];
        foreach (preg_split('/[\r\n,;]+/', $written) ?: [] as $line) {
            $number = (string) preg_replace('/[\s().\-]+/', '', $line);
            if ($number !== '' && !preg_match('/^\+?\d{3,15}$/', $number)) {
                throw new \InvalidArgumentException('LBL_CALLS_BAD_CALLER_ID');
            }
            $numbers[] = $number;
        }
        return array_values(array_unique(array_filter($numbers, 'strlen')));
    }

    /** @param array<string, mixed> $given */
    private function known(array $given): Connector
    {
        $connector = $this->services->connectors->byId((int) ($given['id'] ?? 0));
        if ($connector === null) {
            throw new \InvalidArgumentException('LBL_PERMISSION_DENIED');
        }
        return $connector;
    }

    /** @param array<string, mixed> $given */
    private static function short(array $given, string $name): string
    {
        return mb_substr(trim((string) ($given[$name] ?? '')), 0, 64);
    }

    /** @return array<string, mixed> */
    private static function saved(): array
    {
        return ['message' => 'LBL_CALLS_SAVED'];
    }
}
