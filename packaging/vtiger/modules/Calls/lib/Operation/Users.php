<?php

/** `users`: which extension is whose, and what their groups mean on the exchange. */

declare(strict_types=1);

namespace PinCalls\Operation;

use PinCalls\Clock;
use PinCalls\Identity\Rights;
use PinCalls\Identity\UserFinder;
use PinCalls\Settings\Connector;
use PinCalls\Settings\Deputies;
use PinCalls\Settings\Groups;

class Users
{
    private UserFinder $users;
    private Rights $rights;
    private Groups $groups;
    private Deputies $deputies;

    public function __construct(UserFinder $users, Rights $rights, Groups $groups, Deputies $deputies)
    {
        $this->users = $users;
        $this->rights = $rights;
        $this->groups = $groups;
        $this->deputies = $deputies;
    }

    /**
     * @param array<string, mixed> $request
     * @return array<string, mixed>
     */
    public function __invoke(array $request, Connector $connector): array
    {
        $users = [];
        foreach ($this->users->users() as $id => $row) {
            $users[] = $this->user($id, $row, $connector);
        }
        foreach ($this->users->inactive() as $row) {
            $users[] = [
                'user' => (string) $row['id'], 'user_name' => (string) $row['user_name'],
                'name' => trim($row['first_name'] . ' ' . $row['last_name']), 'active' => false,
                'groups' => [], 'extensions' => [], 'mobiles' => [],
            ];
        }
        $groups = [];
        foreach ($this->groups->all() as $group) {
            if ($group['connector'] === 0 || $group['connector'] === $connector->id) {
                $groups[] = array_filter([
                    'group' => (string) $group['group'], 'name' => $group['name'], 'priority' => $group['priority'],
                    'pbx' => $group['pbx'], 'context' => $group['context'], 'caller_id' => $group['caller_id'],
                ], static function ($value): bool {
                    return $value !== '';
                });
            }
        }
        return ['revision' => substr(sha1((string) json_encode([$users, $groups])), 0, 16), 'users' => $users, 'groups' => $groups];
    }

    /** The revision alone, for the heartbeat's answer. */
    public function revision(Connector $connector): string
    {
        return $this([], $connector)['revision'];
    }

    /**
     * @param array<string, mixed> $row
     * @return array<string, mixed>
     */
    private function user(int $id, array $row, Connector $connector): array
    {
        $groupIds = $this->rights->groupsOf($id);
        $allowed = $this->rights->maySeeCalls($id) && $this->belongsTo($connector, $groupIds);
        $user = [
            'user' => (string) $id,
            'user_name' => (string) $row['user_name'],
            'name' => $this->users->name($id),
            'active' => true,
            'groups' => array_map('strval', $groupIds),
            'extensions' => $allowed ? $this->extensions($id, $connector) : [],
            'mobiles' => $allowed ? $this->users->mobiles($row) : [],
        ];
        $deputy = $this->deputies->of($id);
        return $deputy === 0 ? $user : $user + ['deputy' => (string) $deputy];
    }

    /** @return list<array<string, string>> */
    private function extensions(int $userId, Connector $connector): array
    {
        $known = $connector->pbxs();
        $extensions = [];
        foreach ($this->users->extensionsNow($userId) as $own) {
            if ($own['pbx'] !== '' && $known !== [] && !in_array($own['pbx'], $known, true)) {
                continue;
            }
            $one = $own['pbx'] === '' ? [] : ['pbx' => $own['pbx']];
            $one += ['extension' => $own['extension'], 'source' => $own['source']];
            if ($own['until'] > 0) {
                $one['until'] = Clock::toWire((float) $own['until']);
            }
            $extensions[] = $one;
        }
        return $extensions;
    }

    /**
     * Whose groups name connectors belongs to those alone; whose groups name none belongs to all.
     *
     * @param list<int> $groupIds
     */
    private function belongsTo(Connector $connector, array $groupIds): bool
    {
        $named = array_filter(array_column($this->groups->of($groupIds), 'connector'));
        return $named === [] || in_array($connector->id, $named, true);
    }
}
