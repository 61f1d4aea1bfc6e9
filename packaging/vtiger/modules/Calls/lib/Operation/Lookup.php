<?php

/** `lookup`: who has this number, and who answers for him. */

declare(strict_types=1);

namespace PinCalls\Operation;

use PinCalls\Identity\ClientFinder;
use PinCalls\Identity\PhoneIndex;
use PinCalls\Identity\UserFinder;
use PinCalls\Settings\Connector;
use PinCalls\Settings\Deputies;
use PinCalls\Wire\Refusal;

class Lookup
{
    private ClientFinder $clients;
    private UserFinder $users;
    private PhoneIndex $phones;
    private Deputies $deputies;

    public function __construct(ClientFinder $clients, UserFinder $users, PhoneIndex $phones, Deputies $deputies)
    {
        $this->clients = $clients;
        $this->users = $users;
        $this->phones = $phones;
        $this->deputies = $deputies;
    }

    /**
     * @param array<string, mixed> $request
     * @return array<string, mixed>
     */
    public function __invoke(array $request, Connector $connector): array
    {
        $written = $request['number'] ?? null;
        if (!is_string($written) || strlen($written) > 100) {
            throw new Refusal(400, 'bad_request', '"number" is to be a text of at most 100 bytes.');
        }
        $compared = $this->phones->parse($written)->key();
        $found = $this->clients->allByNumber($written);
        if ($found === []) {
            return ['found' => false, 'number' => $compared];
        }
        $client = $found[0];
        $ownerIsUser = !$this->users->isGroup($client->ownerId);
        $answer = [
            'found' => true,
            'number' => $compared,
            'client' => $client->toWire($ownerIsUser) + ['url' => $client->url()],
            'others' => count($found) - 1,
        ];
        if ($ownerIsUser) {
            $answer['responsible'] = $this->responsible($client->ownerId, self::pbx($request), $connector);
        }
        return $answer;
    }

    /** @return array<string, mixed> */
    private function responsible(int $userId, string $pbx, Connector $connector): array
    {
        $user = [
            'user' => (string) $userId, 'name' => $this->users->name($userId),
            'active' => $this->users->isActiveUser($userId),
        ];
        $pbxs = $pbx !== '' ? [$pbx] : $connector->pbxs();
        foreach ($this->users->extensionsNow($userId) as $own) {
            if ($own['pbx'] === '' || $pbxs === [] || in_array($own['pbx'], $pbxs, true)) {
                $user['extension'] = $own['extension'];
                if ($own['pbx'] !== '') {
                    $user['pbx'] = $own['pbx'];
                }
                break;
            }
        }
        $deputy = $this->deputies->of($userId);
        return $deputy === 0 ? $user : $user + ['deputy' => (string) $deputy];
    }

    /** @param array<string, mixed> $request */
    private static function pbx(array $request): string
    {
        return is_string($request['pbx'] ?? null) ? $request['pbx'] : '';
    }
}
