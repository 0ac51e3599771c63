package com.firefly.flymq.model;

import java.util.List;

/**
 * A consumer group.
 *
 * @param state {@code empty} (offsets only), {@code stable} or {@code rebalancing} (partitions are on their way to other members)
 * @param generation counts its assignments
 * @param coordinator the node that keeps it
 */
public record GroupInfo(
        String group,
        String state,
        long generation,
        String coordinator,
        List<GroupMember> members,
        List<PartitionOffset> offsets) {
    public GroupInfo {
        state = Constants.plain("GROUP_STATE_", state);
    }
}
